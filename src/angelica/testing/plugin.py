"""The pytest plugin: fixtures that run the user's engine on a store and a clock of the test's own.

It is loaded in every pytest run of an environment that has Angelica, so it imports the engine only in its fixtures.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--angelica-store` and the ini option `angelica_app`."""
    group = parser.getgroup("angelica")
    group.addoption(
        "--angelica-store",
        choices=("memory", "sqlite", "postgres"),
        default="memory",
        help="the store behind the angelica fixtures (default: memory); postgres is the server that "
        "ANGELICA_TEST_POSTGRES names, else an installed one, started for this run",
    )
    parser.addini("angelica_app", "the engine under test, as module:attribute (default: a new, empty one)")


@pytest.fixture
def angelica_app(request: pytest.FixtureRequest) -> Any:
    """Return the engine under test: what the ini option `angelica_app` names, or a new one. Override it at will."""
    from angelica.engine import Engine

    name = request.config.getini("angelica_app")
    if not name:
        return Engine("memory:")
    module, _, attribute = str(name).partition(":")
    engine = getattr(import_module(module), attribute or "engine", None)
    if not isinstance(engine, Engine):
        raise pytest.UsageError(f"angelica_app = {name!r} does not name an Engine (module:attribute)")
    return engine


@pytest.fixture
def _angelica_manual_clock() -> Any:
    from angelica.clock import ManualClock

    return ManualClock()


@pytest.fixture
def _angelica_storage(request: pytest.FixtureRequest, tmp_path: Path, _angelica_manual_clock: Any) -> Iterator[Any]:
    from angelica.testing.kit import discard, make_test_storage

    kind = str(request.config.getoption("--angelica-store"))
    storage = make_test_storage(kind, tmp_path, _angelica_manual_clock)
    yield storage
    discard(storage)


@pytest.fixture
def angelica_engine(angelica_app: Any, _angelica_storage: Any, _angelica_manual_clock: Any) -> Iterator[Any]:
    """Run the engine under test on an empty store of its own; tasks run when `angelica_worker.drain()` is called."""
    from angelica.testing.kit import in_test

    with in_test(angelica_app, _angelica_storage, _angelica_manual_clock) as engine:
        yield engine


@pytest.fixture
def angelica_inline(angelica_app: Any, _angelica_storage: Any, _angelica_manual_clock: Any) -> Iterator[Any]:
    """Run the engine under test on an empty store of its own; each enqueue runs what is due before it returns."""
    from angelica.testing.kit import in_test

    with in_test(angelica_app, _angelica_storage, _angelica_manual_clock, inline=True) as engine:
        yield engine


@pytest.fixture
def angelica_worker(angelica_engine: Any) -> Any:
    """Return the worker of `angelica_engine`: `drain()` runs what is due."""
    from angelica.testing.kit import TestWorker

    return TestWorker(angelica_engine)


@pytest.fixture
def angelica_clock(_angelica_manual_clock: Any) -> Any:
    """Return the clock of `angelica_engine`: `shift("1d")` moves it."""
    from angelica.testing.kit import TestClock

    return TestClock(_angelica_manual_clock)


@pytest.fixture
def assert_enqueued(angelica_engine: Any) -> Any:
    """Return a check: `assert_enqueued(function, *args, count=None, **kwargs)`."""
    from angelica.testing.kit import AssertEnqueued

    return AssertEnqueued(angelica_engine)
