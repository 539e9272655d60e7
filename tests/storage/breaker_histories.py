"""Generated histories in which downstreams fail and queues are fair: breakers that trip and close, tenants in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from angelica.clock import MINUTE, SECOND
from angelica.domain.breaker import Circuit
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Failed
from angelica.domain.task import Extras, NewTask
from angelica.storage.protocol import Claim
from tests.storage.histories import ERROR, Op, batches, claims, op
from tests.storage.limit_histories import LIMIT_ANSWERS, LimitPlayer, limited
from tests.storage.world import START

USES: list[tuple[str, ...]] = [("stripe",), ("stripe",), ("mail",), ("mail", "stripe"), ()]
forced = st.sampled_from([Circuit.OPEN, Circuit.CLOSED, None, None])
names = st.sampled_from(["stripe", "mail"])


TENANTS: list[dict[str, str]] = [{}, {"tenant": "a"}, {"tenant": "b"}, {"tenant": "c!~;"}, {"other": "a"}]


def using(task: Any, uses: tuple[str, ...], latency: int | None, headers: dict[str, str]) -> Any:
    limits = task.extras.limits if uses else ()
    return replace(task, extras=Extras(headers=headers, limits=limits, uses=uses, latency=latency))


tasks = st.builds(
    using, limited, st.sampled_from(USES), st.sampled_from([None, None, 1, SECOND]), st.sampled_from(TENANTS)
)
BREAKER_ANSWERS: dict[str, st.SearchStrategy[Op]] = {
    **LIMIT_ANSWERS,
    "submit users": op("submit", batches(tasks, 6), st.none(), st.just(False)),
    "fail": op("fail", st.integers(1, 9), names),
    "fair": op("limit", st.sampled_from(["queue:default", "queue:q1"]), st.just({"fair": "tenant"})),
    "unfair": op("limit", st.sampled_from(["queue:default", "queue:q1"]), st.just({"fair": None})),
    "force": op("force", names, forced),
    "half a minute": op("advance", st.sampled_from([30 * SECOND, MINUTE])),
}
WEIGHTS = {
    "submit users": 8,
    "exchange": 6,
    "exchange and claim": 8,
    "claim": 8,
    "fail": 4,
    "half a minute": 4,
    "relieve": 6,
    "force": 2,
    "fair": 3,
    "promote": 2,
}
operations = st.sampled_from([name for name in BREAKER_ANSWERS for _ in range(WEIGHTS.get(name, 1))]).flatmap(
    BREAKER_ANSWERS.__getitem__
)


def breaker_histories(length: int) -> st.SearchStrategy[list[Op]]:
    """Histories of up to `length` operations; each begins with a downstream that has failed, and with work to do."""
    some = st.lists(tasks, min_size=4, max_size=9).map(tuple)
    begin = st.tuples(
        op("fail", st.integers(9, 11), names),
        op("submit", some, st.none(), st.just(False)),
        op("claim", claims),
    )
    rest = st.lists(operations, min_size=length * 2 // 3, max_size=length)
    return st.builds(lambda first, then: [*first, *then], begin, rest)


class BreakerPlayer(LimitPlayer):
    """Plays breakers too."""

    failed = 0

    def fail(self, count: int, name: str) -> Any:
        """Run some tasks of a queue of their own that fail."""
        first, self.failed = self.failed, self.failed + count
        made = [
            NewTask(f"x{n}", "x", "{}", START, START, queue="failing", extras=Extras(uses=(name,)))
            for n in range(first, first + count)
        ]
        now = self.clock.now()
        self.run(self.storage.enqueue_many(made, now=now))
        claim = Claim("w9", count, (("async", count),), ("failing",), functions=("x",))
        found = self.run(self.storage.exchange((), claim, now=now)).claimed
        ends = [complete(task, Failed(ERROR, final=True), now=now, chance=0.0, started_at=now.wall) for task in found]
        return self.run(self.storage.exchange(ends, None, now=now)).accepted

    def force(self, name: str, circuit: Circuit | None) -> Any:
        return self.run(self.storage.force_breaker(name, circuit, now=self.clock.now(), by="me", reason="why"))

    def everything(self) -> dict[str, Any]:
        return {**super().everything(), "breakers": self.run(self.storage.list_breakers())}
