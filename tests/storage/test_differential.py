"""The same generated history on memory and on each other adapter: every reply and all that is stored is the same.

The normal run plays the same histories each time and reports one that fails as it is. `HYPOTHESIS_PROFILE=deep` plays
many more and longer ones (`ANGELICA_TEST_HISTORIES` of them), other ones each time, and cuts one that fails down to the
few steps that matter.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from angelica.clock import ManualClock
from tests.postgres.session import session
from tests.storage.adapters import ADAPTERS
from tests.storage.breaker_histories import BreakerPlayer, breaker_histories
from tests.storage.histories import Op, Player, histories
from tests.storage.limit_histories import LimitPlayer, limit_histories
from tests.storage.schedule_histories import SchedulePlayer, schedule_histories
from tests.storage.world import prove

DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
HISTORIES = int(os.environ.get("ANGELICA_TEST_HISTORIES", "3000")) if DEEP else 60
LENGTH = 60 if DEEP else 24

OTHERS = [name for name in ADAPTERS if name != "memory"]

effort = settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=not DEEP,
    database=None,
    phases=[Phase.generate, Phase.shrink] if DEEP else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("adapter", OTHERS)
@effort
@given(history=histories(LENGTH))
def test_an_adapter_answers_as_memory_does(adapter: str, history: list[Op]) -> None:
    compare(adapter, history, Player)


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("adapter", OTHERS)
@effort
@given(history=schedule_histories(LENGTH))
def test_an_adapter_answers_about_schedules_as_memory_does(adapter: str, history: list[Op]) -> None:
    compare(adapter, history, SchedulePlayer)


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("adapter", OTHERS)
@effort
@given(history=limit_histories(LENGTH))
def test_an_adapter_answers_about_limits_as_memory_does(adapter: str, history: list[Op]) -> None:
    compare(adapter, history, LimitPlayer)


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("adapter", OTHERS)
@effort
@given(history=breaker_histories(LENGTH))
def test_an_adapter_answers_about_breakers_as_memory_does(adapter: str, history: list[Op]) -> None:
    compare(adapter, history, BreakerPlayer)


def compare(adapter: str, history: list[Op], player: type[Player]) -> None:
    with ExitStack() as stack:
        stack.callback(session().drop_schemas)  # one test is thousands of histories, each in a schema
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runner = stack.enter_context(asyncio.Runner())
        players = []
        for name in ("memory", adapter):
            clock = ManualClock()
            storage = ADAPTERS[name](directory, clock)
            runner.run(storage.open())
            stack.callback(lambda it=storage: runner.run(it.close()))
            players.append(player(storage, clock, runner.run))
        for operation in history:
            note(repr(operation))
            expected, found = [player.play(operation) for player in players]
            assert found == expected
        expected, found = [player.everything() for player in players]
        for part, value in expected.items():
            assert found[part] == value, part
        runner.run(prove(players[1].storage))
