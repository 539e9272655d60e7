"""Generated histories of schedules: puts, ticks, firings that come late or lie, runs made by hand, ends and cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from angelica.clock import DAY, MINUTE, SECOND
from angelica.domain.fire import fire, resume
from angelica.domain.schedule import (
    CatchUp,
    Fire,
    FireRecord,
    Firing,
    Overlap,
    Phase,
    Rules,
    RunSpec,
    Schedule,
    Skipped,
    SkipReason,
    TriggerSpec,
    Unfinished,
)
from angelica.domain.task import Extras, NewTask, Policy
from angelica.storage.protocol import ScheduleFilter, SchedulePut
from tests.storage.histories import ANSWERS, Op, Player, claims, mostly, op
from tests.storage.world import START

SCHEDULES = ["s1", "s2", "s3"]
RUNS = [f"m{n}" for n in range(8)]
TIMES = [START - MINUTE, START, START + SECOND, START + 2 * SECOND]

triggers = st.sampled_from(
    [
        TriggerSpec(every=SECOND),
        TriggerSpec(every=SECOND),
        TriggerSpec(every=10 * SECOND, mode="delay"),
        TriggerSpec(every=SECOND, mode="delay"),
        TriggerSpec(at=START + SECOND),
        TriggerSpec(cron="* * * * *", timezone="Europe/Berlin"),
    ]
)
specs = st.builds(
    RunSpec,
    function=st.sampled_from(["f", "g", "mail.send"]),
    policy=st.sampled_from([Policy(retries=0), Policy(retries=0, retention=SECOND), Policy(retries=1)]),
    queue=st.sampled_from(["default", "q1"]),
    priority=mostly(0, st.just(3)),
    extras=mostly(Extras(), st.just(Extras(labels={"team": "x"}, created_by="me"))),
)
rules = st.builds(
    Rules,
    max_runs=mostly(None, st.integers(1, 3)),
    end_at=mostly(None, st.just(START + MINUTE)),
    overlap=st.sampled_from(list(Overlap)),
    catch_up=st.sampled_from(list(CatchUp)),
    grace=mostly(10 * SECOND, st.just(SECOND)),
    catchup_window=mostly(None, st.sampled_from([MINUTE, 30 * DAY])),
    max_catchup=st.just(4),
    jitter=mostly(0, st.just(SECOND // 2)),
    pause_after_failures=mostly(None, st.integers(1, 2)),
    delete_after=mostly(None, st.sampled_from([0, SECOND])),
)
schedules = st.builds(
    Schedule,
    id=st.sampled_from(SCHEDULES),
    trigger=triggers,
    run=specs,
    rules=rules,
    phase=mostly(Phase.ACTIVE, st.sampled_from(list(Phase))),
    version=mostly(1, st.just(2)),
    next_fire_at=mostly(START, st.none(), st.sampled_from(TIMES)),
    last_fire_at=mostly(None, st.sampled_from(TIMES)),
    anchor=st.just(START),
    created_at=st.just(START),
    updated_at=st.sampled_from([START, START + 1]),
    runs=mostly(0, st.just(2)),
    owner=st.sampled_from(["api", "code"]),
    declared=mostly(None, st.just('{"a":1}')),
    seen_at=mostly(None, st.sampled_from([START, START + 1])),
)


@dataclass(frozen=True)
class Lie:
    """A firing that no pass decided: it fits what stands in what it has seen, and in nothing else."""

    schedule: str
    times: tuple[int, ...]
    after: tuple[int | None, ...]
    cancel: tuple[int, ...]
    skipped: tuple[Skipped, ...]
    next_fire_at: int | None
    seen: bool


spans = st.builds(
    lambda reason, first, count: Skipped(reason, first, first + (count - 1) * SECOND, count),
    st.sampled_from(list(SkipReason)),
    st.sampled_from([START + n * SECOND for n in range(6)]),
    st.integers(1, 2),
)
lies = st.builds(
    Lie,
    schedule=st.sampled_from(SCHEDULES),
    times=st.lists(st.sampled_from([*TIMES, START + MINUTE]), max_size=3).map(tuple),
    after=st.tuples(*[st.none() | st.integers(0, 4)] * 3),
    cancel=mostly((), st.lists(st.integers(0, 4), max_size=2).map(tuple)),
    skipped=mostly((), st.lists(spans, max_size=2, unique_by=lambda span: span.first).map(tuple)),
    next_fire_at=mostly(START + SECOND, st.sampled_from(TIMES), st.none()),
    seen=mostly(True, st.just(False)),
)
made = st.tuples(
    st.sampled_from(SCHEDULES),
    st.sampled_from(TIMES),
    st.sampled_from(["manual", "backfill", "backfill"]),
    st.sampled_from(RUNS),
    st.none() | st.integers(0, 4),
)
filters = st.builds(
    ScheduleFilter,
    phases=mostly(None, st.frozensets(st.sampled_from(list(Phase)), max_size=2)),
    functions=mostly((), st.lists(st.sampled_from(["f", "mail*", "*", "g"]), max_size=2).map(tuple)),
    owner=mostly(None, st.sampled_from(["api", "code"])),
    prefix=mostly("", st.sampled_from(["s", "s2", "x"])),
)
names = st.sampled_from(SCHEDULES)
expectations = mostly(None, st.just("new"), st.integers(1, 2))

SCHEDULE_ANSWERS: dict[str, st.SearchStrategy[Op]] = {
    "put": op("put", st.lists(st.tuples(schedules, expectations, st.booleans()), max_size=3).map(tuple)),
    "edit": op("edit", names, rules, st.sampled_from(["rules", "pause", "seen_at", "nothing"]), st.booleans()),
    "drop": op("drop", st.lists(names, min_size=1, max_size=2).map(tuple), st.booleans()),
    "tick": op("tick", mostly(500, st.just(1)), mostly(False, st.just(True))),
    "decide": op("decide"),
    "fire late": op("fire_late"),
    "resume": op("resume", names, st.booleans()),
    "lie": op("lie", st.lists(lies, min_size=1, max_size=3).map(tuple)),
    "make": op("make", st.lists(made, min_size=1, max_size=3).map(tuple), mostly(False, st.just(True))),
    "stop runs": op("stop_runs", names, st.lists(st.integers(0, 4), max_size=3).map(tuple)),
    "history": op("history", names, st.none() | st.sampled_from(TIMES), st.sampled_from([1, 100])),
    "list": op("list_all", filters, st.sampled_from([1, 2, 50])),
}
WEIGHTS = {"put": 3, "edit": 2, "tick": 5, "lie": 4, "make": 2, "stop runs": 3, "resume": 2}
OTHERS = ["submit", "exchange", "exchange", "exchange and claim", "exchange and claim", "claim", "claim", "beat"]
OTHERS += ["promote", "sweep", "stop", "cancel", "delete", "prune", "advance", "advance", "advance"]
runs_of_schedules = st.builds(
    NewTask,
    id=st.sampled_from(RUNS),
    function=st.just("f"),
    payload=st.just("{}"),
    run_at=st.just(START),
    created_at=st.just(START),
    extras=st.builds(Extras, schedule_id=names),
    expires_at=mostly(None, st.just(START + SECOND)),
)
choices = [name for name in SCHEDULE_ANSWERS for _ in range(WEIGHTS.get(name, 1))] + OTHERS + ["submit runs"]
ALL = {
    **ANSWERS,
    **SCHEDULE_ANSWERS,
    "submit runs": op(
        "submit", st.lists(runs_of_schedules, min_size=1, max_size=2).map(tuple), st.none(), st.booleans()
    ),
}
operations = st.sampled_from(choices).flatmap(ALL.__getitem__)


def schedule_histories(length: int) -> st.SearchStrategy[list[Op]]:
    """Histories of up to `length` operations; each begins with schedules that are due."""
    some = st.lists(st.tuples(schedules, st.none(), st.just(False)), min_size=2, max_size=3).map(tuple)
    begin = st.tuples(op("put", some), op("tick", st.just(500), st.just(False)), op("claim", claims))
    rest = st.lists(operations, min_size=length * 2 // 3, max_size=length)
    return st.builds(lambda first, then: [*first, *then], begin, rest)


class SchedulePlayer(Player):
    """Plays on schedules too. `decided` are firings that were decided and not written yet."""

    decided: tuple[Firing, ...] = ()

    def put(self, puts: Sequence[tuple[Schedule, Any, bool]]) -> Any:
        return self.run(self.storage.put_schedules([SchedulePut(*put) for put in puts], now=self.clock.now()))

    def edit(self, name: str, new: Rules, what: str, seen: bool) -> Any:
        (standing,) = self.run(self.storage.get_schedules([name]))
        if standing is None:
            return None
        match what:
            case "rules":
                edited = replace(standing, rules=new, version=standing.version + 1)
            case "pause":
                edited = replace(standing, phase=Phase.PAUSED, phase_reason="x", paused_at=self.clock.now().wall)
            case "seen_at":
                edited = replace(standing, seen_at=self.clock.now().wall, updated_at=1)
            case _:
                edited = standing
        read = standing if seen else replace(standing, runs=standing.runs + 1)
        put = SchedulePut(edited, standing.version, seen=read)
        return self.run(self.storage.put_schedules([put], now=self.clock.now()))

    def drop(self, names: Sequence[str], tombstone: bool) -> Any:
        return self.run(self.storage.delete_schedules(names, now=self.clock.now(), tombstone=tombstone))

    def tick(self, limit: int, twice: bool) -> Any:
        now = self.clock.now()
        due = self.run(self.storage.due_schedules(now=now, limit=limit))
        firings = [fire(found.schedule, now=now, unfinished=found.unfinished) for found in due]
        return due, self.run(self.storage.fire_many(firings * 2 if twice else firings, now=now))

    def decide(self) -> Any:
        now = self.clock.now()
        due = self.run(self.storage.due_schedules(now=now))
        self.decided = tuple(fire(found.schedule, now=now, unfinished=found.unfinished) for found in due)
        return self.decided

    def fire_late(self) -> Any:
        return self.run(self.storage.fire_many(self.decided, now=self.clock.now()))

    def resume(self, name: str, catch_up: bool) -> Any:
        now = self.clock.now()
        (standing,) = self.run(self.storage.get_schedules([name]))
        if standing is None or standing.phase not in {Phase.PAUSED, Phase.ORPHANED} or standing.next_fire_at is None:
            return None
        unfinished = self.run(self.storage.unfinished_runs(name))
        firing = resume(standing, now=now, unfinished=unfinished, catch_up=catch_up)
        return firing, self.run(self.storage.fire_many([firing], now=now))

    def lie(self, lies: Sequence[Lie]) -> Any:
        firings = [firing for firing in map(self._firing, lies) if firing is not None]
        return self.run(self.storage.fire_many(firings, now=self.clock.now()))

    def _firing(self, lie: Lie) -> Firing | None:
        (standing,) = self.run(self.storage.get_schedules([lie.schedule]))
        if standing is None or standing.next_fire_at is None:
            return None
        fires = tuple(
            Fire(time, self._task(lie.schedule, f"{lie.schedule}-{time - START}"), self._run_at(lie.schedule, after))
            for time, after in zip(lie.times, lie.after, strict=False)
        )
        cancel = [self._run_at(lie.schedule, place) for place in lie.cancel]
        return Firing(
            schedule_id=lie.schedule,
            seen_next=standing.next_fire_at,
            seen_version=standing.version + (not lie.seen),
            next_fire_at=lie.next_fire_at,
            last_fire_at=standing.last_fire_at,
            runs=standing.runs + len(fires),
            phase=standing.phase,
            fires=fires,
            skipped=lie.skipped,
            cancel=tuple(run for run in cancel if run is not None),
            seen_phase=standing.phase,
        )

    def _run_at(self, name: str, place: int | None) -> str | None:
        """An unfinished run, the latest claimed task (which may have ended), or one that is not there."""
        if place is None:
            return None
        unfinished: Unfinished = self.run(self.storage.unfinished_runs(name))
        found = [*unfinished.running, *unfinished.waiting, *[task.id for task in self.claimed[-1:]], "none"]
        return found[min(place, len(found) - 1)]

    def _task(self, name: str, task_id: str) -> NewTask:
        extras = Extras(schedule_id=name)
        return NewTask(task_id, "f", "{}", self.clock.now().wall, START, policy=Policy(retries=0), extras=extras)

    def make(self, runs: Sequence[tuple[str, int, Any, str, int | None]], force: bool) -> Any:
        records = [FireRecord(name, time, kind, run) for name, time, kind, run, _ in runs]
        tasks = [self._task(name, run) for name, _, _, run, _ in runs]
        after = [self._run_at(name, place) for name, _, _, _, place in runs]
        now = self.clock.now()
        return self.run(self.storage.record_fires(records, tasks, now=now, after=after, force=force))

    def stop_runs(self, name: str, places: Sequence[int]) -> Any:
        unfinished = self.run(self.storage.unfinished_runs(name))
        runs = [*unfinished.running, *unfinished.waiting]
        return self.cancel([runs[place] for place in places if place < len(runs)], "stop")

    def history(self, name: str, before: int | None, limit: int) -> Any:
        records = self.run(self.storage.read_fires(name, before=before, limit=limit))
        return records, self.run(self.storage.fire_times(name, START, START + SECOND))

    def list_all(self, where: ScheduleFilter, limit: int) -> Any:
        page = self.run(self.storage.list_schedules(where, limit=limit))
        return page, self.run(self.storage.list_schedules(where, limit=limit, after=page.next))

    def everything(self) -> dict[str, Any]:
        found = super().everything()
        found["schedules"] = self.run(self.storage.list_schedules(ScheduleFilter(), limit=100)).items
        found["again"] = self.run(self.storage.get_schedules([*SCHEDULES, "none"]))
        found["next"] = self.run(self.storage.next_fire())
        for name in SCHEDULES:
            found[f"runs of {name}"] = self.run(self.storage.unfinished_runs(name))
            found[f"fires of {name}"] = self.run(self.storage.read_fires(name, limit=1000))
        return found
