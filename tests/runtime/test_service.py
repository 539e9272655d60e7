"""The service over memory: submits, conflicts, lanes, bounds, waits, cancels, retries and reasons."""

from __future__ import annotations

import asyncio
from datetime import date
from types import SimpleNamespace

import pytest

from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.current import CURRENT
from angelica.domain import reasons
from angelica.domain.events import TasksCancelled, TasksSubmitted
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Failed, Succeeded
from angelica.domain.task import State, TaskError
from angelica.errors import (
    Aborted,
    IdConflict,
    InvalidArguments,
    InvalidValue,
    NotFinished,
    NotFound,
    QueueFull,
    ShuttingDown,
    StorageUnavailable,
    SubmitRefused,
    UniqueConflict,
    UnknownFunction,
)
from angelica.runtime.assignment import Assignment
from angelica.runtime.drafts import Draft, read_draft, read_options
from angelica.runtime.options import NO_OPTIONS
from angelica.storage.protocol import Beat, Claim, Request, TaskFilter, WorkerInfo
from tests.runtime.house_of_functions import House

ROOM = (("async", 100), ("thread", 100))
EVERYTHING = TaskFilter()


def house(**changes) -> House:
    made = House(**changes)

    @made.functions.decorator(name="add")
    async def add(x: int, y: int = 0) -> int:
        return x + y

    return made


def submit(made: House, *bodies, **how):
    made.clock.advance(1)  # within one microsecond ids, and so the order of claim, are a matter of chance
    return asyncio.run(made.service.submit([read_draft(body) for body in bodies], **how)).items


def one(made: House, **body):
    (answer,) = submit(made, {"name": "add", "args": [1], **body})
    return answer


def run(made: House, outcome=None, store=None):
    """Claim all that is ready and end it."""
    store = store or made.storage
    now = made.clock.now()

    async def beat():
        claimed = (await store.exchange((), Claim("w", 100, ROOM), now=now)).claimed
        ends = [complete(task, outcome or Succeeded("3"), now=now, chance=0.0) for task in claimed]
        await store.exchange(ends, None, now=now)
        return claimed

    return asyncio.run(beat())


def test_a_submit_stores_what_was_asked_with_the_functions_defaults():
    made = house()
    accepted = one(made, kwargs={"y": 2}, queue="mail", priority=5, timeout="30s", retries=1, headers={"tenant": "a"})
    task = asyncio.run(made.service.get(accepted.task.id))
    assert accepted.created
    assert accepted.durable
    assert task.spec == accepted.task.spec
    assert (task.state, task.queue, task.spec.priority) == (State.QUEUED, "mail", 5)
    assert task.spec.payload == '{"args":[1],"kwargs":{"y":2}}'
    assert (task.policy.timeout, task.policy.retries, task.policy.max_crashes) == (30 * SECOND, 1, 3)
    assert task.spec.extras.headers == {"tenant": "a"}
    assert len(task.spec.trace_id) == 32
    assert made.events == [TasksSubmitted((task.spec,))]


def test_the_short_way_and_the_long_way_make_the_same_task():
    made = house()
    function = made.functions.get("add")
    short = asyncio.run(made.service.submit_one(function, (1,), {}, NO_OPTIONS)).task
    long = one(made).task
    stored = asyncio.run(made.service.get(short.id))
    assert (stored.spec, stored.state, stored.run_at) == (short.spec, short.state, short.run_at)
    same = {"id": "", "trace_id": "", "run_at": 0, "created_at": 0}
    assert {**_fields(short.spec), **same} == {**_fields(long.spec), **same}


def _fields(spec):
    return {name: getattr(spec, name) for name in spec.__slots__}


def test_a_delay_schedules():
    made = house()
    task = one(made, delay="5m").task
    assert task.state is State.SCHEDULED
    assert task.run_at == made.clock.now().wall + 5 * MINUTE
    spec = one(made, delay="5m", expires="1m").task.spec
    assert spec.expires_at == spec.run_at + MINUTE


def test_moments_that_contradict_each_other_are_refused():
    made = house()
    soon = "2023-11-14T22:13:25Z"  # five seconds from the clock of the house
    for body, field in (
        ({"delay": "1h", "deadline": soon}, "/deadline"),
        ({"delay": "1h", "expires_at": soon}, "/expires_at"),
        ({"delay": "200000d"}, "/delay"),
    ):
        assert one(made, **body).field == field


def test_arguments_are_checked_against_the_annotations():
    made = house()
    (answer,) = submit(made, {"name": "add", "kwargs": {"x": "x"}})
    assert isinstance(answer, InvalidArguments)
    assert answer.field == "/kwargs/x"
    (answer,) = submit(made, {"name": "add"})
    assert (answer.field, answer.rule) == ("/kwargs/x", "missing")
    assert asyncio.run(made.service.counts()) == {}


def test_an_unknown_function_is_answered_with_near_names():
    (answer,) = submit(house(), {"name": "ad"})
    assert isinstance(answer, UnknownFunction)
    assert answer.near == ("add",)


def test_a_function_of_another_process_is_known_from_the_store_for_a_day():
    made, other = house(), House()

    @other.functions.decorator(name="render", queue="etl", timeout="10m", unique="r:{report}", durable=False)
    def render(report: int, title: str = "x") -> None: ...

    asyncio.run(made.storage.put_functions([render.row(seen_at=made.clock.now().wall)]))
    task = one(made, name="render", args=[7]).task
    assert (task.queue, task.spec.executor, task.policy.timeout) == ("etl", "thread", 10 * MINUTE)
    assert task.spec.unique.key == "r:7"
    assert one(made, name="render", args=[7]).created is False
    assert one(made, name="render", args=["x"]).field == "/args/0"
    assert one(made, name="render", kwargs={"titel": "x"}).field == "/kwargs/titel"
    made.clock.advance(DAY + SECOND)
    assert isinstance(one(made, name="render"), UnknownFunction)


def test_the_same_id_with_the_same_body_is_the_task_that_stands():
    made = house()
    first = one(made, task_id="job-1", priority=1)
    again = one(made, task_id="job-1", priority=1)
    assert (first.created, again.created) == (True, False)
    assert again.task.id == "job-1"
    other = one(made, task_id="job-1", priority=2)
    assert isinstance(other, IdConflict)
    assert other.task_id == "job-1"


def test_the_same_id_means_the_same_on_every_surface():
    made = house()
    function = made.functions.get("add")
    options = read_options({"task_id": "job-1", "delay": 300})
    asyncio.run(made.service.submit_one(function, (1,), {}, options))
    made.clock.advance(SECOND)
    draft = read_draft({"name": "add", "args": [1], "task_id": "job-1", "delay": "5m"})
    stamped = Draft(
        draft.name, draft.args, draft.kwargs, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, draft.options
    )
    (answer,) = asyncio.run(made.service.submit([stamped])).items
    assert answer.created is False


def test_unique_keys():
    made = house()
    first = one(made, unique={"key": "k"})
    assert one(made, unique={"key": "k"}).task.id == first.task.id
    refused = one(made, unique={"key": "k", "on_conflict": "reject"})
    assert isinstance(refused, UniqueConflict)
    assert refused.task_id == first.task.id
    run(made)
    assert one(made, unique={"key": "k"}).created


def test_an_atomic_batch_is_stored_whole_or_not_at_all():
    made = house()
    answers = submit(made, {"name": "add", "args": [1]}, {"name": "ad"}, atomic=True)
    assert [type(each) for each in answers] == [Aborted, UnknownFunction]
    one(made, task_id="a", args=[5])
    answers = submit(made, {"name": "add", "args": [1]}, {"name": "add", "args": [6], "task_id": "a"}, atomic=True)
    assert [type(each) for each in answers] == [Aborted, IdConflict]
    assert asyncio.run(made.service.counts()) == {("default", State.QUEUED): 1}


def test_a_batch_that_is_not_atomic_keeps_its_places():
    made = house()
    answers = submit(made, {"name": "ad"}, {"name": "add", "args": [1]}, {"name": "add"})
    assert [type(each).__name__ for each in answers] == ["UnknownFunction", "Accepted", "InvalidArguments"]


def test_a_repeated_request_is_answered_by_what_it_stored():
    made = house()
    request = Request("me", "key", "POST /tasks", "digest", made.clock.now().wall + DAY)
    drafts = [read_draft({"name": "add", "args": [1]})]
    first = asyncio.run(made.service.submit(drafts, request=request))
    again = asyncio.run(made.service.submit(drafts, request=request))
    assert (first.replayed, again.replayed) == (False, True)
    assert first.items[0].task.id == again.items[0].task.id
    assert len(made.events) == 1


def test_shutting_down_takes_nothing_from_outside():
    made = house()
    made.state = "SHUTDOWN"
    with pytest.raises(ShuttingDown):
        one(made)
    with pytest.raises(ShuttingDown):
        asyncio.run(made.service.submit_one(made.functions.get("add"), (1,), {}, NO_OPTIONS))


def test_a_full_queue_refuses_and_knows_of_new_room_within_a_second():
    made = house(max_depth=2)
    assert one(made).created
    assert one(made).created
    assert isinstance(one(made), QueueFull)
    assert one(made, queue="other").created
    run(made)
    made.clock.advance(SECOND)
    assert one(made).created


def test_hooks_may_refuse_and_may_change_headers_and_labels():
    made = house()

    @made.hooks.on("before_submit")
    def check(submission):
        if submission.args == (13,):
            raise SubmitRefused("unlucky", status=403)
        submission.labels["seen"] = "yes"

    seen = []
    made.hooks.on("after_submit")(lambda spec: seen.append(spec.id))
    assert isinstance(one(made, args=[13]), SubmitRefused)
    accepted = one(made, labels={"env": "prod"})
    assert accepted.task.spec.extras.labels == {"env": "prod", "seen": "yes"}
    short = asyncio.run(made.service.submit_one(made.functions.get("add"), (1,), {}, NO_OPTIONS))
    assert short.task.spec.extras.labels == {"seen": "yes"}
    assert seen == [accepted.task.id, short.task.id]


def test_a_trace_is_taken_over_or_made():
    made = house()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    given = one(made, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert given.task.spec.trace_id == trace
    for junk in ("junk", f"00-{'0' * 32}-00f067aa0ba902b7-01"):
        assert one(made, headers={"traceparent": junk}).task.spec.trace_id not in ("junk", "0" * 32)


def test_children_share_the_trace_and_never_outlive_their_parents_deadline():
    made = house()
    parent = one(made, deadline="2023-11-14T23:00:00Z").task
    function = made.functions.get("add")
    assignment = Assignment(parent, function, function.handler, SimpleNamespace(), 0, lambda _: None)
    token = CURRENT.set(assignment)
    try:
        made.state = "SHUTDOWN"  # a running task may still hand on what it has begun
        inherited = asyncio.run(made.service.submit_one(function, (1,), {}, NO_OPTIONS)).task.spec
        own = one(made, deadline="2023-11-14T22:30:00Z").task.spec
        later = one(made, deadline="2030-01-01T00:00:00Z").task.spec
    finally:
        CURRENT.reset(token)
    assert inherited.extras.parent_id == parent.id
    assert inherited.trace_id == parent.spec.trace_id
    assert inherited.deadline == later.deadline == parent.spec.deadline
    assert own.deadline < parent.spec.deadline


@pytest.mark.parametrize("strategy", ["uuid4", "snowflake"])
def test_id_strategies(strategy):
    made = house()
    made.functions.declare(lambda: None, name="f", id_strategy=strategy)
    task_id = one(made, name="f", args=[]).task.id
    assert task_id.isdigit() if strategy == "snowflake" else task_id[14] == "4"


# --- functions that are not durable ---


def lane_house(overflow: str) -> House:
    made = house()
    made.functions.declare(lambda x: x, name="quick", durable=False, overflow=overflow)
    return made


def test_what_is_not_durable_stays_in_this_process():
    made = lane_house("reject")
    accepted = one(made, name="quick")
    assert not accepted.durable
    assert asyncio.run(made.storage.get_tasks([accepted.task.id])) == (None,)
    assert asyncio.run(made.service.get(accepted.task.id)).spec == accepted.task.spec
    page = asyncio.run(made.service.list(EVERYTHING, durable=False))
    assert [task.id for task in page.items] == [accepted.task.id]
    assert asyncio.run(made.service.list(EVERYTHING)).items == ()
    assert asyncio.run(made.service.counts()) == {("default", State.QUEUED): 1}
    status, _ = asyncio.run(made.service.cancel(accepted.task.id))
    assert status == "cancelled"


def test_a_full_lane_refuses_spills_or_drops():
    refusing = lane_house("reject")
    answers = [one(refusing, name="quick") for _ in range(4)]
    assert isinstance(answers[3], QueueFull)
    spilling = lane_house("spill")
    answers = submit(spilling, *[{"name": "quick", "args": [n]} for n in range(5)])
    assert [each.durable for each in answers] == [False, False, False, True, True]
    dropping = lane_house("drop_oldest")
    answers = [one(dropping, name="quick") for _ in range(4)]
    dropped = asyncio.run(dropping.service.get(answers[0].task.id))
    assert (dropped.state, dropped.error.reason) == (State.CANCELLED, reasons.OVERFLOW)
    assert asyncio.run(dropping.service.get(answers[3].task.id)).state is State.QUEUED


def test_without_a_lane_all_is_durable():
    made = House(lane=False)
    made.functions.declare(lambda x: x, name="quick", durable=False)
    assert one(made, name="quick").durable
    assert asyncio.run(made.service.list(EVERYTHING, durable=False)).items == ()


# --- after the submit ---


def test_what_is_not_there_is_not_found():
    service = house().service
    for call in (
        service.get("nope"),
        service.wait("nope", 5),
        service.cancel("nope"),
        service.retry("nope"),
        service.delete("nope"),
        service.why("nope"),
        service.logs("nope"),
        service.attempts("nope"),
    ):
        with pytest.raises(NotFound, match="nope"):
            asyncio.run(call)


@pytest.mark.parametrize("where", ["store", "lane"])
def test_waiters_hear_of_the_end(where):
    made = lane_house("reject")
    tasks = [one(made, name="quick" if where == "lane" else "add").task for _ in range(3)]
    store = made.lane if where == "lane" else made.storage

    async def scene():
        waiters = [asyncio.create_task(made.service.wait(task.id, 60)) for task in tasks for _ in range(20)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert not any(waiter.done() for waiter in waiters)
        now = made.clock.now()
        claimed = (await store.exchange((), Claim("w", 100, ROOM), now=now)).claimed
        await store.exchange([complete(task, Succeeded("1"), now=now, chance=0.0) for task in claimed], None, now=now)
        return await asyncio.wait_for(asyncio.gather(*waiters), 5)

    ended = asyncio.run(scene())
    assert {task.state for task in ended} == {State.SUCCEEDED}


def test_a_wait_ends_with_its_time_and_at_once_for_what_has_ended():
    made = house()
    task = one(made).task
    assert asyncio.run(made.service.wait(task.id, 0)).state is State.QUEUED
    assert asyncio.run(made.service.wait(task.id, 0.01)).state is State.QUEUED
    run(made)
    assert asyncio.run(made.service.wait(task.id, 60)).state is State.SUCCEEDED


def test_a_wait_tells_what_the_store_says():
    made = house()
    task = one(made).task
    inner = made.storage.get_tasks
    looks = []

    async def failing(ids):
        looks.append(ids)
        if len(looks) > 1:
            raise StorageUnavailable("gone")
        return await inner(ids)

    made.storage.get_tasks = failing

    async def scene():
        waiter = asyncio.create_task(made.service.wait(task.id, 60))
        await asyncio.sleep(0)
        await made.storage.cancel_many([task.id], reason="", now=made.clock.now())
        return await asyncio.wait_for(waiter, 5)

    made.lane = made.service._lane = None
    with pytest.raises(StorageUnavailable):
        asyncio.run(scene())


def test_cancel():
    made = house()
    seen = []
    made.hooks.on("on_cancel")(lambda task: seen.append(task.state))
    task = one(made).task
    status, cancelled = asyncio.run(made.service.cancel(task.id, reason="not needed"))
    assert (status, cancelled.state) == ("cancelled", State.CANCELLED)
    assert made.events[-1] == TasksCancelled((task.id,), "not needed")
    assert seen == [State.CANCELLED]
    assert asyncio.run(made.service.cancel(task.id))[0] == "finished"
    with pytest.raises(InvalidValue):
        asyncio.run(made.service.cancel(task.id, reason="x" * 2000))


def test_retry_makes_a_new_task():
    made = house()
    task = one(made, labels={"a": "b"}, unique={"key": "k"}, task_id="job-1", expires="1h").task
    with pytest.raises(NotFinished):
        asyncio.run(made.service.retry(task.id))
    run(made, Failed(TaskError(reasons.FAIL), final=True))
    again = asyncio.run(made.service.retry(task.id, delay=60))
    assert again.spec.extras.retry_of == "job-1"
    assert again.spec.payload == task.spec.payload
    assert again.spec.extras.labels == {"a": "b"}
    assert (again.failures, again.state) == (0, State.SCHEDULED)
    assert again.spec.expires_at is None
    assert asyncio.run(made.service.get(again.id)).spec == again.spec
    with pytest.raises(UniqueConflict):
        asyncio.run(made.service.retry(task.id))
    with pytest.raises(InvalidValue):
        asyncio.run(made.service.retry(task.id, delay=-1))


def test_delete_cancels_what_waits_and_removes_what_has_ended():
    made = house()
    first, second = one(made).task, one(made).task
    status, task = asyncio.run(made.service.delete(first.id))
    assert (status, task.state) == ("cancelled", State.CANCELLED)
    assert asyncio.run(made.service.delete(first.id)) == ("deleted", None)
    assert asyncio.run(made.service.delete(second.id, purge=True)) == ("deleted", None)
    with pytest.raises(NotFound):
        asyncio.run(made.service.get(second.id))


def test_delete_asks_what_runs_to_stop():
    made = house()
    task = one(made).task
    asyncio.run(made.storage.exchange((), Claim("w", 1, ROOM), now=made.clock.now()))
    status, running = asyncio.run(made.service.delete(task.id, purge=True))
    assert (status, running.cancel_requested) == ("requested", True)


def worker(made: House, **changes):
    info = {
        "id": "w",
        "host": "h",
        "boot": "boot-0",
        "pid": 1,
        "pid_started": 1,
        "version": "1",
        "started_at": 0,
        "slots": 1,
    }
    beat = Beat(WorkerInfo(**{**info, **changes}), made.clock.now().tick + HOUR, made.clock.now().wall)
    asyncio.run(made.storage.heartbeat(beat, now=made.clock.now()))


def test_why():
    made = house()

    def why(task):
        return asyncio.run(made.service.why(task.id))

    first, second = one(made).task, one(made).task
    assert (why(first).code, why(first).text) == (reasons.NO_WORKER, "No worker is alive.")
    worker(made, queues=("mail",), functions=("add",))
    assert "serves the queue default" in why(first).text
    worker(made, queues=("default",), functions=("other",))
    assert "knows add" in why(first).text
    worker(made, functions=("add",))
    assert (why(first).code, why(first).position) == (reasons.AHEAD, 1)
    assert (why(second).position, why(second).params["ahead"]) == (2, 1)
    assert why(one(made, delay=60).task).code == reasons.SCHEDULED
    run(made, Failed(TaskError(reasons.EXCEPTION)))
    assert (why(first).code, why(first).params["failures"]) == (reasons.BACKOFF, 1)
    third = one(made).task
    asyncio.run(made.storage.exchange((), Claim("w", 1, ROOM), now=made.clock.now()))
    assert why(third).code == reasons.RUNNING
    asyncio.run(made.service.delete(first.id))
    assert why(first) is None


def test_why_names_a_hold():
    made = house()
    task = one(made).task
    now = made.clock.now()

    async def park():
        from angelica.domain.outcome import Released

        (claimed,) = (await made.storage.exchange((), Claim("w", 1, ROOM), now=now)).claimed
        end = complete(claimed, Released(held=reasons.UNKNOWN_FUNCTION), now=now, chance=0.0)
        await made.storage.exchange([end], None, now=now)
        return await made.service.why(task.id)

    why = asyncio.run(park())
    assert why.code == reasons.UNKNOWN_FUNCTION
    assert "add" in why.text


def test_health():
    made = house()
    assert asyncio.run(made.service.health()).failing == ()
    made.service.add_probe("worker", lambda: "the loop has stalled for 3 s")
    made.state = "SHUTDOWN"

    async def gone():
        raise StorageUnavailable("/secret/path")

    made.storage.status = gone
    health = asyncio.run(made.service.health())
    assert health.failing == ("engine", "store", "worker")
    assert "/secret" not in repr(health.detail)


def test_submit_many_is_one_transaction():
    made = house()
    function = made.functions.get("add")
    accepted = asyncio.run(made.service.submit_many(function, [((n,), {}) for n in range(5)], NO_OPTIONS))
    assert [each.task.spec.payload[9] for each in accepted] == list("01234")
    assert len(made.events) == 1
    with pytest.raises(InvalidArguments):
        asyncio.run(made.service.submit_many(function, [((1,), {}), (("x",), {})], NO_OPTIONS))
    assert len(made.events) == 1


def test_a_declared_unique_key_is_the_same_for_python_and_json():
    made = house()

    @made.functions.decorator(name="report", unique="report:{day}")
    def report(day: date) -> None: ...

    first = asyncio.run(made.service.submit_one(report, (date(2026, 1, 1),), {}, NO_OPTIONS))
    assert first.task.spec.unique.key == "report:2026-01-01"
    assert one(made, name="report", args=["2026-01-01"]).task.id == first.task.id
