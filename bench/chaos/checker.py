"""The checker: a pure function from what was recorded to what is wrong.

It believes nobody alone: the client's ledger says what was promised, the witness what was executed, the history what
was stored on the way, the kills what may have been interrupted. Each fault names the law that it breaks.

What is counted as an **extra execution**: a begun attempt (a witness `start`) that neither won nor ended by its own
doing (the handler raised or ran out of time). Each must belong to a process that was killed, and be one of

- *interrupted*: begun, and not ended when its process was killed;
- *unrecorded*: ended less than two seconds before the kill, and its end was not on disk yet.

The sum of both over all kills is the number that was **running at the kills**; extra executions above it have no
excuse. A hand-back at a stop (outcome `released` in a process that was not killed itself) is its own number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.chaos.fleet import Kill
from bench.chaos.ledger import Ledger
from bench.chaos.store import Change, Row
from bench.chaos.witness import Line

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
LEGAL: Final = frozenset(
    {
        (None, "queued"),
        (None, "scheduled"),
        ("scheduled", "queued"),
        ("scheduled", "cancelled"),
        ("queued", "running"),
        ("queued", "cancelled"),
        *[("running", state) for state in ("queued", "scheduled", *TERMINAL)],
    }
)
OWN_DOING: Final = frozenset({"failed", "timeout", "snoozed", "cancelled"})
DEATHS: Final = frozenset({"crashed", "lease_expired"})
AT_MOST_ONCE: Final = frozenset({"chaos.once"})
MAY_BE_POISON: Final = frozenset({"chaos.once", "chaos.killer"})
TO_DISK: Final = 2_000_000
"""Microseconds within which an end reaches the disk even on a busy machine."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken law: which, of which task ("" for all), and in what way."""

    law: str
    task_id: str
    text: str

    def __str__(self) -> str:
        return f"{self.law}: {self.task_id} {self.text}".replace("  ", " ")


@dataclass(slots=True)
class Record:
    """All that was recorded of one run, after it came to rest."""

    ledger: Ledger
    witness: Sequence[Line]
    changes: Sequence[Change]
    rows: Mapping[str, Row]
    outcomes: Mapping[tuple[str, int], str]
    kills: Sequence[Kill] = ()
    leases: int = 0
    problems: Sequence[str] = ()


@dataclass(slots=True)
class Verdict:
    """The faults, and the figures that were counted on the way."""

    faults: list[Fault] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.faults

    def laws(self) -> set[str]:
        """Return the names of the laws that were broken."""
        return {fault.law for fault in self.faults}


def check(record: Record) -> Verdict:
    """Return what is wrong with a run, and its figures."""
    verdict = Verdict()
    for part in (_promises, _histories, _winners, _executions, _blame, _rest):
        verdict.faults.extend(part(record, verdict.figures))
    return verdict


def _promises(record: Record, figures: dict[str, int]) -> Iterator[Fault]:
    """Every acknowledged task is there and ended; nothing is there that nobody asked for."""
    ledger, rows = record.ledger, record.rows
    figures["acknowledged"] = len(ledger.acknowledged)
    figures["unknown"] = len(ledger.unknown)
    for task_id in ledger.acknowledged:
        if task_id not in rows:
            yield Fault("lost", task_id, "was acknowledged and is not there")
    for task_id in rows:
        if task_id in ledger.refused:
            yield Fault("phantom", task_id, "was refused and is there")
        elif task_id not in ledger.acknowledged and task_id not in ledger.unknown:
            yield Fault("phantom", task_id, "is there and nobody submitted it")
    for task_id, row in rows.items():
        function = ledger.acknowledged.get(task_id) or ledger.unknown.get(task_id, "")
        if row.state not in TERMINAL:
            yield Fault("unfinished", task_id, f"stands in {row.state} after attempt {row.attempt}")
        elif row.state == "failed" and function in MAY_BE_POISON and row.reason == "poison":
            figures["poison"] = figures.get("poison", 0) + 1
        elif row.state != "succeeded":
            yield Fault("outcome", task_id, f"of {function} ended {row.state} ({row.reason})")


def _histories(record: Record, figures: dict[str, int]) -> Iterator[Fault]:
    """Each task went only where it may go, in one piece, took each attempt number once, and ended once."""
    standing: dict[str, Change] = {}
    ended: set[str] = set()
    for change in record.changes:
        task_id, before = change.task_id, standing.get(change.task_id)
        if (change.was, change.now) not in LEGAL:
            yield Fault("legal", task_id, f"went from {change.was} to {change.now}")
        if change.was != (None if before is None else before.now):
            yield Fault("contiguous", task_id, f"left {change.was}, but stood in {before.now if before else 'nothing'}")
        expected = (before.attempt if before else 0) + (change.now == "running")
        if change.attempt != expected:
            yield Fault("attempts", task_id, f"went to {change.now} with attempt {change.attempt}, not {expected}")
        if change.now in TERMINAL:
            if task_id in ended:
                yield Fault("once", task_id, f"ended again, {change.now}")
            ended.add(task_id)
        standing[task_id] = change
    for task_id, row in record.rows.items():
        last = standing.get(task_id)
        if last is None or (last.now, last.attempt) != (row.state, row.attempt):
            yield Fault("contiguous", task_id, "stands where its history does not end")
    figures["changes"] = len(record.changes)


def _winners(record: Record, _: dict[str, int]) -> Iterator[Fault]:
    """What succeeded was seen to end, in the attempt that won, and carries that attempt's result."""
    ends = {(line.task_id, line.attempt, line.pid) for line in record.witness if line.event == "end"}
    for task_id, row in record.rows.items():
        if row.state != "succeeded":
            continue
        attempt, pid = row.result if isinstance(row.result, list) else (0, 0)
        if attempt != row.attempt:
            yield Fault("winner", task_id, f"attempt {row.attempt} won with the result of attempt {attempt}")
        elif (task_id, attempt, pid) not in ends:
            yield Fault("winner", task_id, f"attempt {attempt} succeeded and was never seen to end")


def _executions(record: Record, figures: dict[str, int]) -> Iterator[Fault]:
    """Nothing ran without a claim, no attempt ran twice, and each extra execution has a kill for its excuse."""
    claims = {(change.task_id, change.attempt) for change in record.changes if change.now == "running"}
    starts: dict[tuple[str, int], Line] = {}
    for line in record.witness:
        if line.event != "start":
            continue
        lease = (line.task_id, line.attempt)
        if lease in starts:
            yield Fault("begun twice", line.task_id, f"attempt {line.attempt} began again")
        elif lease not in claims:
            yield Fault("unclaimed", line.task_id, f"attempt {line.attempt} began without a claim")
        starts[lease] = line
    per_task = Counter(task_id for task_id, _ in starts)
    functions = {**record.ledger.unknown, **record.ledger.acknowledged}
    for task_id, count in per_task.items():
        if count > 1 and functions.get(task_id) in AT_MOST_ONCE:
            yield Fault("at most once", task_id, f"began {count} times")
    figures["starts"] = len(starts)
    figures["extra"] = _extra(record, starts, per_task)
    yield from _excuses(record, starts, figures)


def _extra(record: Record, starts: Mapping[tuple[str, int], Line], per_task: Mapping[str, int]) -> int:
    """Return the executions beyond one a task, those not counted that ended by the handler's own doing."""
    own = Counter(task_id for task_id, attempt in starts if record.outcomes.get((task_id, attempt)) in OWN_DOING)
    return sum(max(count - 1 - own[task_id], 0) for task_id, count in per_task.items())


def _excuses(record: Record, starts: Mapping[tuple[str, int], Line], figures: dict[str, int]) -> Iterator[Fault]:
    killed = {pid: kill for kill in record.kills for pid in kill.pids}
    ends = {(line.task_id, line.attempt): line for line in record.witness if line.event == "end"}
    won = {(row.task_id, row.attempt) for row in record.rows.values() if row.state == "succeeded"}
    counts = Counter(interrupted=0, unrecorded=0, handed_back=0)
    for lease, line in starts.items():
        outcome = record.outcomes.get(lease)
        if lease in won or outcome in OWN_DOING:
            continue
        kill = killed.get(line.pid)
        if kill is None:
            counts["handed_back"] += 1
            if outcome != "released":
                yield Fault("no excuse", lease[0], f"attempt {lease[1]} ended {outcome}, and nobody killed {line.pid}")
        elif lease not in ends and outcome == "released" and kill.target == "supervisor":
            counts["handed_back"] += 1  # a child hears of its parent's end a moment before the kernel kills it for it
        elif lease not in ends:
            counts["interrupted"] += 1
            if outcome == "released":
                text = f"attempt {lease[1]} was running when it was killed ({kill.target}), and paid nothing"
                yield Fault("blame", lease[0], text)
        else:
            counts["unrecorded"] += 1
            if ends[lease].at < kill.at - TO_DISK:
                late = (kill.at - ends[lease].at) / 1e6
                yield Fault("late", lease[0], f"attempt {lease[1]} had ended {late:.1f} s before the kill")
    figures.update(counts)
    running = counts["interrupted"] + counts["unrecorded"] + counts["handed_back"]
    if figures["extra"] > running:
        yield Fault("extra", "", f"{figures['extra']} extra executions, but only {running} were running")


def _blame(record: Record, figures: dict[str, int]) -> Iterator[Fault]:
    """A task pays for a death of its worker only if it had begun there."""
    begun = {(line.task_id, line.attempt) for line in record.witness if line.event == "start"}
    paid = [lease for lease, outcome in record.outcomes.items() if outcome in DEATHS]
    innocent = [lease for lease in paid if lease not in begun]
    # The mark is set just before the handler's first line: a kill between the two is possible, and rare.
    figures["blamed unseen"] = len(innocent)
    allowed = max(len(record.kills), 1)
    if len(innocent) > allowed:
        yield Fault("blame", innocent[0][0], f"and {len(innocent) - 1} more paid for a death before they had begun")
    counted = Counter(task_id for task_id, _ in paid)
    for task_id, row in record.rows.items():
        if row.crashes != counted[task_id]:
            yield Fault("blame", task_id, f"counts {row.crashes} crashes, its attempts {counted[task_id]}")


def _rest(record: Record, _: dict[str, int]) -> Iterator[Fault]:
    """At rest nobody holds anything, and the store agrees with itself."""
    if record.leases:
        yield Fault("leases", "", f"{record.leases} tasks are still held")
    for problem in record.problems:
        yield Fault("store", "", problem)
