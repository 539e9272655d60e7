"""The lifecycle as a function of values: what each outcome writes, whatever the task, the moment and the chance."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from angelica.clock import SECOND, Now
from angelica.domain import reasons
from angelica.domain.lifecycle import complete, first_state, lapsed
from angelica.domain.outcome import Cancelled, Crashed, Failed, LeaseExpired, Released, Snoozed, Succeeded
from angelica.domain.retry import Exponential, Fixed, Linear, delay
from angelica.domain.task import TERMINAL, NewTask, Policy, State, Task, TaskError
from angelica.domain.usage import Usage

WALL = 1_700_000_000 * SECOND

walls = st.integers(WALL, WALL + 10**12)
nows = st.builds(Now, wall=walls, tick=st.integers(0, 10**12), boot=st.just("boot"))
chances = st.floats(0, 1, exclude_max=True)
errors = st.builds(TaskError, reason=st.sampled_from(sorted(reasons.FAILURES)), type=st.sampled_from(["", "a.E", "F"]))
policies = st.builds(
    Policy,
    retries=st.integers(0, 5),
    max_crashes=st.integers(0, 5),
    backoff=st.sampled_from([Fixed(2.0), Linear(), Exponential(), Exponential(jitter_mode="full")]),
    retry_on=st.sampled_from([(), ("E",), ("a.E", "F")]),
    retention=st.integers(0, 10**12),
)
specs = st.builds(
    NewTask,
    id=st.just("t"),
    function=st.just("f"),
    payload=st.just("{}"),
    run_at=walls,
    created_at=walls,
    policy=policies,
    expires_at=st.none() | walls,
    deadline=st.none() | walls,
)
tasks = st.builds(
    Task,
    spec=specs,
    state=st.just(State.RUNNING),
    attempt=st.integers(1, 20),
    failures=st.integers(0, 6),
    crashes=st.integers(0, 6),
    run_at=walls,
    worker=st.just("w"),
    cancel_requested=st.booleans(),
    cancel_reason=st.sampled_from([None, "enough"]),
)
outcomes = st.one_of(
    st.builds(Succeeded, st.none() | st.just("1")),
    st.builds(Failed, errors, st.none() | st.integers(0, 10**9), st.booleans()),
    st.builds(Snoozed, walls),
    st.builds(Cancelled),
    st.builds(Released, st.none() | st.just("unknown_function")),
    st.builds(LeaseExpired),
    st.builds(Crashed, errors),
)
started = st.none() | walls
ticks = st.none() | st.integers(0, 10**12)


@given(tasks, outcomes, nows, chances, started, ticks)
def test_what_holds_for_every_end(task, outcome, now, chance, started_at, expired_by) -> None:
    end = complete(task, outcome, now=now, chance=chance, started_at=started_at, expired_by=expired_by)
    assert end.lease == task.lease
    assert (end.queue, end.finished_at, end.expired_by) == (task.queue, now.wall, expired_by)
    assert end.state in TERMINAL | {State.QUEUED, State.SCHEDULED}
    assert end.retain_until == now.wall + task.policy.retention
    assert end.failures >= task.failures
    assert end.crashes >= task.crashes
    assert (end.failures - task.failures) + (end.crashes - task.crashes) <= 1
    assert (end.state is State.SCHEDULED) <= (end.run_at > now.wall)
    assert end.held is None or end.state is State.QUEUED
    assert (end.error is None) <= (end.state not in {State.FAILED, State.CANCELLED})
    assert end.then == ()


@given(tasks, outcomes, nows, chances)
def test_the_same_values_give_the_same_end(task, outcome, now, chance) -> None:
    assert complete(task, outcome, now=now, chance=chance) == complete(task, outcome, now=now, chance=chance)


@given(tasks, nows, chances, st.none() | st.just('"x"'), started)
def test_success_is_an_end_at_no_cost(task, now, chance, result, started_at) -> None:
    end = complete(task, Succeeded(result), now=now, chance=chance, started_at=started_at)
    assert (end.outcome, end.state, end.result, end.error) == ("succeeded", State.SUCCEEDED, result, None)
    assert (end.failures, end.crashes, end.started_at) == (task.failures, task.crashes, started_at)


@given(tasks, nows, chances, errors)
def test_a_failure_spends_a_retry_and_ends_when_none_is_left(task, now, chance, error) -> None:
    assume(not task.cancel_requested and task.spec.deadline is None)
    end = complete(task, Failed(error), now=now, chance=chance)
    assert (end.failures, end.crashes, end.error) == (task.failures + 1, task.crashes, error)
    again = task.failures < task.policy.retries
    assert (end.state in TERMINAL) == (not again)
    if again:
        wait = delay(task.policy.backoff, task.failures, chance=chance)
        assert end.run_at == now.wall + int(wait * SECOND)
    else:
        assert end.state is State.FAILED


@given(tasks, nows, chances, errors, st.integers(0, 10**9))
def test_a_final_failure_ends_and_a_given_wait_is_kept(task, now, chance, error, wait) -> None:
    assume(not task.cancel_requested)
    assert complete(task, Failed(error, final=True), now=now, chance=chance).state is State.FAILED
    end = complete(task, Failed(error, retry_after=wait), now=now, chance=chance)
    if end.state not in TERMINAL:
        assert end.run_at == now.wall + wait


@given(tasks, nows, chances, errors)
def test_no_retry_begins_at_or_past_the_deadline(task, now, chance, error) -> None:
    end = complete(task, Failed(error), now=now, chance=chance)
    if task.spec.deadline is not None and end.state not in TERMINAL:
        assert end.run_at < task.spec.deadline


@given(tasks, nows, chances, st.sampled_from([LeaseExpired(), Crashed(TaskError("crashed"))]))
def test_a_crash_spends_a_crash_and_poison_ends(task, now, chance, outcome) -> None:
    assume(not task.cancel_requested)
    end = complete(task, outcome, now=now, chance=chance)
    assert (end.failures, end.crashes) == (task.failures, task.crashes + 1)
    if task.crashes + 1 > task.policy.max_crashes:
        assert end.state is State.FAILED
        assert end.error is not None
        assert end.error.reason == reasons.POISON
    else:
        assert (end.state, end.run_at) == (State.QUEUED, task.run_at) or end.state is State.SCHEDULED


@given(tasks, nows, chances, walls)
def test_a_snooze_and_a_release_cost_nothing(task, now, chance, until) -> None:
    for outcome in (Snoozed(until), Released(), Released("unknown_function")):
        end = complete(task, outcome, now=now, chance=chance)
        assert (end.failures, end.crashes, end.error) == (task.failures, task.crashes, None)
        assert end.state not in TERMINAL
    assert complete(task, Snoozed(until), now=now, chance=chance).run_at == until


@given(tasks, nows, chances, started)
def test_a_released_attempt_never_began(task, now, chance, started_at) -> None:
    assert complete(task, Released(), now=now, chance=chance, started_at=started_at).started_at is None


@given(tasks, nows, chances, errors)
def test_a_requested_cancel_wins_over_a_retry(task, now, chance, error) -> None:
    assume(task.cancel_requested)
    for outcome in (Failed(error), LeaseExpired(), Crashed(error)):
        end = complete(task, outcome, now=now, chance=chance)
        assert end.state is State.CANCELLED
        assert end.error is not None
        assert (end.error.reason, end.error.message) == (reasons.CANCELLED, task.cancel_reason or "")


@given(specs, nows)
def test_a_task_lapses_at_its_moment(spec, now) -> None:
    reason = lapsed(spec, now=now)
    past = [m for m in (spec.expires_at, spec.deadline) if m is not None and m <= now.wall]
    assert (reason is None) == (not past)
    if spec.expires_at is not None and spec.expires_at <= now.wall:
        assert reason == reasons.EXPIRED


@given(specs, nows)
def test_a_new_task_is_ready_when_it_is_due(spec, now) -> None:
    assert (first_state(spec, now=now) is State.QUEUED) == (spec.run_at <= now.wall)


def test_what_an_attempt_took_travels_with_its_end():
    usage = Usage(1.5, 30 << 20)
    task = Task(NewTask("t", "f", "{}", WALL, WALL), State.RUNNING, attempt=1)
    error = TaskError("exception")
    outcomes = [Succeeded(usage=usage), Failed(error, usage=usage), Snoozed(WALL, usage), Crashed(error, usage)]
    for outcome in outcomes:
        assert complete(task, outcome, now=Now(WALL, 0, ""), chance=0.0).usage == usage
    assert complete(task, Succeeded(), now=Now(WALL, 0, ""), chance=0.0).usage is None
