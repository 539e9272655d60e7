"""How a pytest of its own comes to our plugin: by its entry point where we are installed, by name where we are not."""

from importlib.metadata import entry_points

INSTALLED = any(each.value == "angelica.testing.plugin" for each in entry_points(group="pytest11"))
LOAD = [] if INSTALLED else ["-p", "angelica.testing.plugin"]
