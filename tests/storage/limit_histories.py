"""Generated histories in which much is limited: queues, functions and keys, changed while tasks run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from angelica.clock import MILLISECOND, MINUTE, SECOND
from angelica.domain.task import Extras, NewTask
from angelica.storage.protocol import LimitPut
from tests.storage.histories import (
    ANSWERS,
    FUNCTIONS,
    NAMES,
    QUEUES,
    RESOURCES,
    Op,
    Player,
    batches,
    claims,
    mostly,
    op,
)
from tests.storage.world import START

GATES = ["queue:default", "queue:q1", "function:f", "function:g", "limit:a", "limit:b", "limit:per", "limit:per/x"]
KEYS: list[tuple[str, ...]] = [(), ("a",), ("b",), ("a", "b"), ("per/x",), ("per/y", "a"), ("none",)]

numbers = st.sampled_from([0, 1, 1, 2, 2, 3, None])
rates = st.sampled_from(["1/s", "2/s", "3/m", None])
changes = st.one_of(
    st.fixed_dictionaries({"max_running": numbers}),
    st.fixed_dictionaries({"max_running": numbers}),
    st.fixed_dictionaries({"rate": rates}),
    st.fixed_dictionaries({"max_running": numbers, "rate": rates}),
)
queue_changes = st.one_of(
    changes,
    st.fixed_dictionaries({"paused": st.sampled_from([True, None]), "reason": st.just("why")}),
    st.fixed_dictionaries({"ageing": st.sampled_from([SECOND, None])}),
)
limited = st.builds(
    NewTask,
    id=st.sampled_from(NAMES),
    function=st.sampled_from(FUNCTIONS),
    payload=st.just("{}"),
    run_at=mostly(START, st.sampled_from([START - MINUTE, START - 1, START + 1])),
    created_at=st.just(START),
    queue=mostly("default", st.sampled_from(QUEUES)),
    priority=mostly(0, st.just(1)),
    expires_at=mostly(None, st.just(START)),
    extras=st.builds(Extras, limits=st.sampled_from(KEYS), resources=mostly({}, st.sampled_from(RESOURCES))),
)

LIMIT_ANSWERS: dict[str, st.SearchStrategy[Op]] = {
    **ANSWERS,
    "submit limited": op("submit", batches(limited, 5), st.none(), st.just(False)),
    "limit": st.sampled_from(GATES).flatmap(
        lambda gate: op("limit", st.just(gate), queue_changes if gate.startswith("queue:") else changes)
    ),
    "declare": op("declare", st.sampled_from(GATES), changes),
    "unlimit": op("unlimit", st.lists(st.sampled_from(GATES), max_size=2).map(tuple)),
    "relieve": op("relieve", mostly(100, st.just(1))),
    "a moment": op("advance", st.sampled_from([10 * MILLISECOND, SECOND, 2 * SECOND])),
}
WEIGHTS = {
    "submit limited": 4,
    "exchange": 5,
    "exchange and claim": 6,
    "claim": 6,
    "limit": 3,
    "a moment": 3,
    "relieve": 2,
    "promote": 2,
}
limit_operations = st.sampled_from([name for name in LIMIT_ANSWERS for _ in range(WEIGHTS.get(name, 1))]).flatmap(
    LIMIT_ANSWERS.__getitem__
)


def limit_histories(length: int) -> st.SearchStrategy[list[Op]]:
    """Histories of up to `length` operations; each begins with work to do and a limit."""
    some = st.lists(limited, min_size=4, max_size=8).map(tuple)
    begin = st.tuples(
        op("submit", some, st.none(), st.just(False)),
        LIMIT_ANSWERS["limit"],
        op("claim", claims),
        LIMIT_ANSWERS["limit"],
    )
    rest = st.lists(limit_operations, min_size=length * 2 // 3, max_size=length)
    return st.builds(lambda first, then: [*first, *then], begin, rest)


class LimitPlayer(Player):
    """Plays limits too."""

    def limit(self, gate: str, wanted: Mapping[str, Any]) -> Any:
        return self.run(self.storage.put_limits([LimitPut(gate, changes=wanted, by="me")], now=self.clock.now()))

    def declare(self, gate: str, wanted: Mapping[str, Any]) -> Any:
        known = {name: value for name, value in wanted.items() if value is not None}
        return self.run(self.storage.put_limits([LimitPut(gate, declared=known)], now=self.clock.now()))

    def unlimit(self, gates: Sequence[str]) -> Any:
        return self.run(self.storage.delete_limits(gates, now=self.clock.now()))

    def relieve(self, limit: int) -> Any:
        return self.run(self.storage.relieve(now=self.clock.now(), limit=limit))

    def everything(self) -> dict[str, Any]:
        # A refund waits in some storages until the counter is looked at again.
        rows = self.run(self.storage.list_limits())
        return {**super().everything(), "limits": [replace(row, bucket=row.bucket.__class__()) for row in rows]}
