"""The oracle of schedules: walk every instant that a definition promises, and hold what was done against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from angelica.domain.cron.evaluate import fires_between
from angelica.domain.fire import task_id_of
from angelica.domain.schedule import MAX_QUEUED, CatchUp, Overlap, Phase, Schedule
from angelica.domain.trigger import evaluator, is_delay, next_fire_after
from bench.chaos.audit import Entry

RUN = "run"
Said = dict[int, str]


@dataclass(slots=True)
class Story:
    """One schedule as the audit tells it; `said` is the verdict of each instant, `runs` the tasks that it made."""

    schedule: Schedule
    faults: list[str] = field(default_factory=list)
    said: Said = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    passes: int = 0


def replay(schedule: Schedule, entries: Sequence[Entry], until: int) -> Story:
    """Judge each pass over `schedule` (as it was created) by the specification, up to the moment `until`."""
    story = Story(schedule)
    unfinished: dict[str, bool] = {}  # run -> whether it waits
    states = [dict(unfinished)]
    fires: list[Entry] = []
    spans: dict[tuple[object, object], tuple[int, int]] = {}
    for entry in entries:
        if entry.what == "fire":
            fires.append(entry)
        elif entry.what == "move" and fires:
            _judge(story, fires, entry, states, spans)
            fires, states = [], [dict(unfinished)]
        elif entry.what == "move":
            story.schedule = _moved(story.schedule, entry)
        else:
            _follow(unfinished, entry)
            if not fires:  # what the pass itself adds was not there when it decided
                states.append(dict(unfinished))
    if fires:
        story.faults.append("fires without a move")
    _complete(story, until)
    return story


def _follow(unfinished: dict[str, bool], entry: Entry) -> None:
    if entry.what == "leave":
        del unfinished[str(entry.a)]
    else:
        unfinished[str(entry.a)] = entry.b is not None


def _moved(schedule: Schedule, move: Entry) -> Schedule:
    return replace(
        schedule,
        next_fire_at=move.b,
        last_fire_at=move.c,
        runs=move.d,
        phase=Phase(str(move.e)),
        phase_reason=move.f,
    )


def _judge(
    story: Story,
    fires: Sequence[Entry],
    move: Entry,
    states: Iterable[dict[str, bool]],
    spans: dict[tuple[object, object], tuple[int, int]],
) -> None:
    """Hold one pass against the oracle, for some state of the runs since the pass before (it read one of them)."""
    before = story.schedule
    wall = max(int(fire.f) for fire in fires)  # type: ignore[call-overload]
    due = _due(before, wall)
    said = _said(story, fires, due, spans)
    story.passes += 1
    if before.next_fire_at != move.a:
        story.faults.append(f"moved from {move.a}, expected {before.next_fire_at}")
    again = sorted(said.keys() & story.said.keys())
    if again:
        story.faults.append(f"decided twice: {again[:3]}")
    wanted = [expected(before, wall, due, state) for state in states]
    if said not in wanted:
        story.faults.append(f"at {wall} said {_short(said)}, expected {_short(wanted[-1])}")
    story.said |= said
    story.schedule = after = _moved(before, move)
    done = sum(verdict == RUN for verdict in said.values())
    if after.runs != before.runs + done:
        story.faults.append(f"{done} runs count as {after.runs - before.runs}")
    if after.next_fire_at is not None and after.next_fire_at != next_fire_after(after, wall):
        story.faults.append(f"at {wall} the next fire is {after.next_fire_at}, expected {next_fire_after(after, wall)}")


def _due(schedule: Schedule, wall: int) -> list[int]:
    """Return every instant that is due: the stored one, then those of the trigger, within the bounds."""
    first, end = schedule.next_fire_at, schedule.rules.end_at
    if first is None or first > wall:
        return []
    if is_delay(schedule):
        return [first]
    end = wall + 1 if end is None else min(wall + 1, end)
    return [first, *fires_between(evaluator(schedule), first + 1, end)]


def _said(
    story: Story, fires: Sequence[Entry], due: Sequence[int], spans: dict[tuple[object, object], tuple[int, int]]
) -> Said:
    """Return the verdict of each instant as the records of one pass have it."""
    said: Said = {}
    for moment, verdict in _verdicts(story, fires, due, spans):
        if moment in said:
            story.faults.append(f"{moment} is both {said[moment]} and {verdict}")
        said[moment] = verdict
    return said


def _verdicts(
    story: Story, fires: Sequence[Entry], due: Sequence[int], spans: dict[tuple[object, object], tuple[int, int]]
) -> Iterator[tuple[int, str]]:
    for _, moment, task_id, reason, last, count, _ in fires:
        if reason is None:
            story.runs.append(str(task_id))
            if task_id != task_id_of(story.schedule.id, int(moment)):  # type: ignore[call-overload]
                story.faults.append(f"the run of {moment} is {task_id}")
            yield int(moment), RUN  # type: ignore[call-overload]
            continue
        # A span that goes on from the pass before is written again, longer.
        begun, had = spans.get((moment, reason), (int(moment) - 1, 0))  # type: ignore[call-overload]
        new = [one for one in due if begun < one <= int(last)]  # type: ignore[call-overload]
        if len(new) != int(count) - had:  # type: ignore[call-overload]
            story.faults.append(f"{reason} from {moment} to {last} counts {count}, {had} before, expected {len(new)}")
        spans[moment, reason] = (int(last), int(count))  # type: ignore[call-overload]
        for one in new:
            yield one, str(reason)


def expected(schedule: Schedule, wall: int, due: Sequence[int], unfinished: dict[str, bool]) -> Said:
    """Decide as the specification says it, one instant after the other."""
    rules = schedule.rules
    late = [moment for moment in due if wall - moment > rules.grace]
    on_time = [moment for moment in due if wall - moment <= rules.grace]
    inside = [m for m in late if rules.catchup_window is None or wall - m <= rules.catchup_window]
    said = dict.fromkeys(late, "missed")
    chosen: list[int] = []
    if rules.catch_up is CatchUp.ALL:
        said |= dict.fromkeys(inside, "capped")
        chosen = inside[-rules.max_catchup :]
    elif rules.catch_up is CatchUp.LATEST and not on_time:
        chosen = inside[-1:]
    standing = Counter(unfinished.values())
    candidates = [*chosen, *on_time]
    runs = schedule.runs
    for moment in candidates:
        if not _fits(schedule, standing, newest=moment == candidates[-1]):
            said[moment] = "overlap"
        elif rules.max_runs is not None and runs >= rules.max_runs:
            said[moment] = "ended"
        else:
            said[moment] = RUN
            runs += 1
            queued = rules.overlap in (Overlap.QUEUE_ONE, Overlap.QUEUE_ALL) and not is_delay(schedule)
            standing[queued and standing.total() > 0] += 1
    return said


def _fits(schedule: Schedule, standing: Counter[bool], *, newest: bool) -> bool:
    rules = schedule.rules
    match Overlap.SKIP if is_delay(schedule) else rules.overlap:
        case Overlap.SKIP:
            return not standing.total()
        case Overlap.ALLOW:
            return rules.max_running is None or standing.total() < rules.max_running
        case Overlap.QUEUE_ONE:
            return not standing[True]
        case Overlap.QUEUE_ALL:
            return standing[True] < MAX_QUEUED
        case Overlap.CANCEL:
            return newest


def _complete(story: Story, until: int) -> None:
    """Check that nothing between the creation and `until` was left without a verdict."""
    schedule = story.schedule
    if is_delay(schedule):
        if not story.said:
            story.faults.append("it never fired")
        return
    if schedule.phase is Phase.COMPLETED:
        rules = schedule.rules
        spent = rules.max_runs is not None and schedule.runs == rules.max_runs
        if not spent and next_fire_after(schedule, until) is not None:
            story.faults.append(f"completed too early: {schedule.phase_reason}")
        until = (schedule.last_fire_at or 0) if spent else until
    first = min(story.said, default=None)
    start = schedule.created_at if first is None else first
    promised = set(_promised(schedule, start, until))
    lost = sorted(promised - story.said.keys())
    invented = sorted(story.said.keys() - promised)
    if lost:
        story.faults.append(f"{len(lost)} without run or reason: {lost[:3]}")
    if invented:
        story.faults.append(f"{len(invented)} that the definition does not have: {invented[:3]}")
    if first is not None and first != next_fire_after(schedule, schedule.created_at):
        story.faults.append(f"the first fire was {first}")


def _promised(schedule: Schedule, start: int, until: int) -> Iterator[int]:
    if schedule.trigger.at is not None:
        return iter([schedule.trigger.at] if schedule.trigger.at <= until else [])
    rules = schedule.rules
    end = rules.end_at
    start = max(start, rules.start_at or start)  # a window between both may hold no instant at all
    return fires_between(evaluator(schedule), start, until + 1 if end is None else min(until + 1, end))


def _short(said: Said) -> str:
    return ", ".join(f"{moment} {verdict}" for moment, verdict in sorted(said.items())[:8])
