"""How a pytest of its own loads the plugin: by its entry point, or by name and with none of the others."""

from __future__ import annotations

from importlib.metadata import entry_points

INSTALLED = any(each.value == "angelica.testing.plugin" for each in entry_points(group="pytest11"))
BY_NAME = ["-p", "angelica.testing.plugin"]
LOAD = [] if INSTALLED else BY_NAME
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""For the environment, with `BY_NAME`: what else is installed here takes longer to load than most tests take."""
