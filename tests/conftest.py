"""What all tests share: an environment without our variables, and how hard Hypothesis searches."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres.fixtures"]  # here, because only the outermost conftest may name plugins

# No deadline: a busy machine is no bug. HYPOTHESIS_PROFILE=deep searches long, for nights and releases.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings in the environment; a test has those that it makes."""
    for variable in os.environ:
        if variable.startswith("ANGELICA_") and not variable.startswith(("ANGELICA_TEST_", "ANGELICA_BIG_")):
            monkeypatch.delenv(variable)
