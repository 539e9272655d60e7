"""The schemas of the API document: what goes in and out, as JSON Schema 2020-12."""

from __future__ import annotations

from typing import Final

import msgspec

from angelica.http.limit_schemas import LIMIT_SCHEMAS
from angelica.http.logs import LineView
from angelica.http.problems import KINDS
from angelica.http.schedule_schemas import SCHEMAS
from angelica.http.schema_forms import (
    ANY,
    DURATION,
    FLAG,
    INTEGER,
    MOMENT,
    NUMBER,
    REF,
    TEXT,
    TEXTS,
    Schema,
    listed,
    nullable,
    ref,
    thing,
)
from angelica.http.submit import BATCH_LIMIT
from angelica.http.suggestions import SUGGESTION
from angelica.http.views import INPUT_FIELDS, TaskView

CURSOR: Final = nullable(TEXT)

NEW_TASK: Final = {
    **thing(
        "What is to run, and how: either `name` or `command`. Unknown members are refused.",
        name={"type": "string", "description": "The function."},
        command={"type": "string", "description": "An allowed command line, in place of a function."},
        args={"type": "array"},
        kwargs={"type": "object"},
        task_id={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
        queue={"type": "string", "default": "default"},
        priority={"type": "integer", "minimum": -128, "maximum": 127, "default": 0},
        version=nullable({"type": "integer", "minimum": 0}),
        labels=TEXTS,
        limits={"type": "array", "items": TEXT, "description": "Keys of its limits, or names, or name/key."},
        requires={**TEXTS, "description": 'Labels that the worker must have, all of them: {"gpu": "true"}.'},
        headers=TEXTS,
        extensions={"type": "object"},
        delay=DURATION,
        run_at=MOMENT,
        timeout=nullable(DURATION),
        timeout_ms={"type": "integer", "minimum": 1},
        deadline=nullable(MOMENT),
        retries={"type": "integer", "minimum": 0, "maximum": 1000},
        backoff=thing("How long to wait before a retry.", kind={"enum": ["fixed", "linear", "exponential"]}),
        retry_on={"type": "array", "items": TEXT},
        unique=thing(
            "At most one such task.",
            "key",
            key=TEXT,
            scope={"enum": ["live", "retained"], "default": "live"},
            on_conflict={"enum": ["return", "reject"], "default": "return"},
        ),
        result_ttl=DURATION,
        resources=thing(
            "What it needs of a machine.",
            cpu={"type": "number", "minimum": 0.01, "maximum": 1024},
            memory={"type": ["integer", "string"], "description": "Bytes, or text like 4GB."},
        ),
    ),
    "oneOf": [{"required": ["name"]}, {"required": ["command"]}],
    "additionalProperties": False,
}

ERROR_ITEM: Final = thing(
    "One thing that is wrong.", "pointer code message", pointer=TEXT, code=TEXT, params={"type": "object"}, message=TEXT
)

PROBLEM: Final = thing(
    "Any failure (RFC 9457).",
    "type title status error",
    type=TEXT,
    title=TEXT,
    status=INTEGER,
    error={"enum": sorted(KINDS)},
    detail=TEXT,
    instance=TEXT,
    trace_id=TEXT,
    errors={"type": "array", "items": ref("ErrorItem")},
)

FUNCTION: Final = thing(
    "A registered function.",
    "name version executor",
    name=TEXT,
    version=INTEGER,
    executor=TEXT,
    doc=TEXT,
    schema=ANY,
    defaults=ANY,
    seen_time=MOMENT,
    suggestion={**ref("Suggestion"), "description": "Only where one function is shown."},
)

HELD: Final = thing(
    "A task that a worker holds.",
    "task_id name",
    task_id=TEXT,
    name=TEXT,
    queue=TEXT,
    attempt=INTEGER,
    start_time={**nullable(MOMENT), "description": "Null while it waits there for a slot."},
)

WORKER: Final = thing(
    "A worker process.",
    "worker_id state host pid",
    worker_id=TEXT,
    state={"enum": ["running", "draining", "stopping", "lost"]},
    host=TEXT,
    pid=INTEGER,
    version=TEXT,
    start_time=MOMENT,
    seen_time=MOMENT,
    heartbeat_age={**NUMBER, "description": "Seconds since its last heartbeat."},
    control={"enum": ["run", "drain", "stop"], "description": "What it was asked to do."},
    heeds={
        "enum": ["run", "drain", "stop", None],
        "description": "What it does of that; null for one of a version that cannot be asked.",
    },
    slots=INTEGER,
    capacity={"type": "object", "additionalProperties": INTEGER, "description": "Slots by executor."},
    cpu={**nullable(NUMBER), "description": "CPUs that it gives to tasks with `resources`; null: it does not look."},
    memory={**nullable(INTEGER), "description": "Bytes that it gives to tasks with `resources`; null: as above."},
    keeps_free_for={
        "type": ["object", "null"],
        "properties": {"queue": TEXT, "due_time": MOMENT},
        "description": "It starts no task with `resources` until one that is due since then fits.",
    },
    running=INTEGER,
    tasks={"type": "array", "items": HELD, "description": "What it holds now, if one worker is shown (100 at most)."},
    queues=nullable({"type": "array", "items": TEXT}),
    functions={"type": "array", "items": TEXT},
    labels=TEXTS,
    select={**TEXTS, "description": "It takes only tasks with these labels."},
)

BREAKER: Final = thing(
    "A circuit breaker of a downstream.",
    "name state held calls failed",
    name=TEXT,
    state={"enum": ["closed", "open", "half_open"]},
    since={**nullable(MOMENT), "description": "When it came to stand so."},
    tries_at={**nullable(MOMENT), "description": "When an open one is tried again."},
    held={**INTEGER, "description": "Tasks that it holds back."},
    calls={**INTEGER, "description": "Attempts that ended in its window of 30 seconds."},
    failed=INTEGER,
    slow=INTEGER,
    trips={**INTEGER, "description": "How often it has opened since it was last closed."},
    good_probes={**INTEGER, "description": "Three in a row close it."},
    probe={**nullable(TEXT), "description": "The task that tries it now."},
    forced={**FLAG, "description": "Whether it was set by hand."},
    by=nullable(TEXT),
    reason=nullable(TEXT),
)

STATUS: Final = thing(
    "The engine as a whole.",
    "state uptime version tasks",
    state={"enum": ["RUNNING", "SHUTDOWN", "TERMINATED"]},
    uptime=NUMBER,
    memory=nullable(NUMBER),
    process_memory=INTEGER,
    version=TEXT,
    timestamp=MOMENT,
    failing={"type": "array", "items": TEXT},
    store=ANY,
    tasks={"type": "object", "additionalProperties": INTEGER},
    queues={"type": "array", "items": {"type": "object"}},
    workers={"type": "object"},
    blocked={
        "type": "array",
        "items": thing(
            "Tasks of one function that a rule holds back.",
            "reason name tasks able_workers",
            reason=TEXT,
            name=TEXT,
            tasks={**INTEGER, "description": "10,000 at most are counted."},
            able_workers={**INTEGER, "description": "Live workers that could run them and do not drain."},
        ),
    },
    scheduler={"type": "object"},
)

ATTEMPT: Final = thing(
    "One try.",
    "attempt outcome",
    attempt=INTEGER,
    outcome=TEXT,
    worker=nullable(TEXT),
    start_time=nullable(MOMENT),
    end_time=nullable(MOMENT),
    duration=nullable(NUMBER),
    error=nullable(ref("ErrorView")),
    usage=nullable(ref("UsageView")),
)

OTHERS: Final[dict[str, Schema]] = {
    "NewTask": NEW_TASK,
    "Batch": thing(
        "Many tasks.",
        "tasks",
        atomic={"type": "boolean", "default": True},
        tasks={"type": "array", "items": ref("NewTask"), "minItems": 1, "maxItems": BATCH_LIMIT},
    ),
    "BatchAnswer": thing(
        "What became of each.",
        "items failed",
        failed=INTEGER,
        items={
            "type": "array",
            "items": thing(
                "One item: a task, or its problem.",
                task_id=TEXT,
                status=TEXT,
                location=TEXT,
                created=FLAG,
                durable=FLAG,
                warnings={"type": "array", "items": TEXT},
                problem=ref("Problem"),
            ),
        },
    ),
    "Arguments": {"type": "object", "description": "The function's keyword arguments."},
    "Nothing": {"type": "object", "additionalProperties": False, "description": "No members; may be left out."},
    "CancelOptions": thing("How to cancel.", reason=nullable({"type": "string", "maxLength": 1000})),
    "RetryOptions": thing("How to retry.", delay=nullable(DURATION)),
    "Triggered": thing(
        "A task was made.",
        "status task_id",
        status=TEXT,
        task_id=TEXT,
        name=TEXT,
        logs_url=TEXT,
        links=TEXTS,
        durable=FLAG,
    ),
    "TaskList": listed(ref("TaskPart"), next_cursor=CURSOR),
    "LogLines": listed(ref("LineView"), next_cursor=CURSOR, last=CURSOR),
    "Attempt": ATTEMPT,
    "AttemptList": listed(ref("Attempt")),
    "EventList": listed(thing("One stage.", "stage time", stage=TEXT, time=MOMENT)),
    "Why": thing(
        "Why a task waits.",
        "code params",
        code=TEXT,
        params={"type": "object"},
        text=TEXT,
        position=nullable(INTEGER),
        blocking={"type": "array", "items": TEXT},
        predicted_start=nullable(
            thing(
                "When it should start: one in ten before p10, nine in ten before p90.",
                p10=MOMENT,
                p50=MOMENT,
                p90=MOMENT,
            )
        ),
    ),
    "Function": FUNCTION,
    "Suggestion": SUGGESTION,
    "FunctionList": listed(ref("Function"), next_cursor=CURSOR),
    "Breaker": BREAKER,
    "BreakerList": listed(ref("Breaker"), next_cursor=CURSOR),
    "BreakerChange": thing(
        "What to set.",
        "state",
        state={"enum": ["open", "closed", "reset"]},
        reason=nullable({"type": "string", "maxLength": 1000}),
    ),
    "Worker": WORKER,
    "WorkerList": listed(ref("Worker"), next_cursor=CURSOR),
    "Status": STATUS,
    "Health": thing(
        "Whether it works.",
        "status timestamp",
        status={"enum": ["healthy", "unhealthy"]},
        timestamp=MOMENT,
        failing={"type": "array", "items": TEXT},
        detail={"type": "object"},
    ),
    "Root": thing("Where things are.", name=TEXT, links=TEXTS),
    "Kind": thing("What an error means.", "error status title text", error=TEXT, status=INTEGER, title=TEXT, text=TEXT),
    "Any": {"description": "Any JSON value."},
    "Document": {"type": "object", "description": "An OpenAPI 3.1 document."},
    "ErrorItem": ERROR_ITEM,
    "Problem": PROBLEM,
}


def components() -> dict[str, Schema]:
    """Return all components: those of the served types, and the ones above."""
    _, made = msgspec.json.schema_components((TaskView, LineView), ref_template=REF + "{name}")
    task = made["TaskView"]
    for name in ("create_time", "run_at"):
        task["properties"][name] = {**MOMENT}
    for name in ("start_time", "end_time"):
        task["properties"][name] = nullable(MOMENT)
    task["properties"]["durable"] = {**FLAG, "description": "false: only in the memory of the process that took it."}
    words = {"type": "array", "items": {"type": "string"}}
    task["properties"]["warnings"] = {**words, "description": "In the answer to a submit: what may keep it waiting."}
    parts = {**task["properties"], **dict.fromkeys(INPUT_FIELDS, ANY)}
    part = {"type": "object", "description": "A task, or the members that `fields=` names.", "properties": parts}
    own = {n: s for n, s in made.items() if n != "TaskView"}
    return {"Task": task, **own, "TaskPart": part, **OTHERS, **SCHEMAS, **LIMIT_SCHEMAS}
