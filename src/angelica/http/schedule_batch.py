"""Declaring schedules over HTTP, as code does at its start: a file in Git is applied or compared as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from angelica.domain.schedule import Phase, Schedule
from angelica.errors import AngelicaError, InvalidValue, NotFound
from angelica.http.answers import Answer, json_answer
from angelica.http.call import Call, invalid_body
from angelica.http.problems import HttpProblem, field_problem, problem_of
from angelica.http.schedules import refuse_key
from angelica.runtime import fields
from angelica.runtime.definition import declared_by, definition_of, effective, override_form, plain
from angelica.runtime.ownership import Declaration
from angelica.runtime.schedule_drafts import read_schedule
from angelica.storage.protocol import ScheduleFilter

BATCH_LIMIT: Final = 10_000
PAGE: Final = 500
_MEMBERS: Final = frozenset({"source", "revision", "schedules", "redeclare", "dry_run"})

Row = dict[str, Any]


async def declare(call: Call) -> Answer:
    """POST /schedules/batch: stores what is declared; with `dry_run` only says what would change."""
    refuse_key(call)
    body = await call.json()
    declarations, options = _read(call, body)
    sources = (options["source"],) if options["source"] else ()
    if options["dry_run"]:
        rows = await _compare(call, declarations, sources, redeclare=options["redeclare"])
        return json_answer({"items": rows, "dry_run": True})
    done = await call.host.schedules.declare(
        declarations, sources=sources, revision=options["revision"], redeclare=options["redeclare"]
    )
    rows = [
        {"schedule_id": each, "outcome": name}
        for name in ("created", "updated", "unchanged", "older", "deleted", "orphaned")
        for each in getattr(done, name)
    ]
    rows += [{"schedule_id": each, "outcome": "refused", "problem": problem} for each, problem in done.refused]
    kept = dict(done.kept)
    for row in rows:
        row["kept"] = list(kept.get(row["schedule_id"], ()))
    return json_answer({"items": rows, "dry_run": False})


def _read(call: Call, body: Any) -> tuple[list[Declaration], dict[str, Any]]:
    """Return the declarations and the options; one that is wrong refuses them all, each named by its place."""
    errors: list[Mapping[str, Any]] = []
    if not isinstance(body, Mapping):
        raise _refused(call, [field_problem("", "must be a JSON object with `schedules`", "wrong_type", type="object")])
    errors += [field_problem(f"/{name}", "unknown field", "unknown_field") for name in body if name not in _MEMBERS]
    options: dict[str, Any] = {"source": body.get("source") or "", "revision": call.host.clock.wall()}
    if not isinstance(options["source"], str) or len(options["source"]) > fields.MAX_NAME:
        errors.append(field_problem("/source", f"must be a text of at most {fields.MAX_NAME} characters", "wrong_type"))
    for name in ("redeclare", "dry_run"):
        options[name] = body.get(name) or False
        if not isinstance(options[name], bool):
            errors.append(field_problem(f"/{name}", "must be true or false", "wrong_type", type="boolean"))
    if body.get("revision") is not None:
        try:
            options["revision"] = fields.moment(body["revision"])
        except ValueError as error:
            errors.append(field_problem("/revision", str(error), "invalid"))
    items = body.get("schedules")
    if not isinstance(items, list) or len(items) > BATCH_LIMIT:
        errors.append(field_problem("/schedules", f"must be a list of at most {BATCH_LIMIT}", "wrong_type"))
        items = []
    if errors:
        raise _refused(call, errors)
    return _declarations(call, items, options), options


def _declarations(call: Call, items: Sequence[Any], options: Mapping[str, Any]) -> list[Declaration]:
    made: list[Declaration] = []
    errors: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    for place, item in enumerate(items):
        at = f"/schedules/{place}"
        try:
            draft = read_schedule(item)
            _check_id(draft.id, seen)
        except AngelicaError as error:
            problem = problem_of(error)
            found = () if problem is None else problem.errors
            errors += [{**each, "pointer": at + str(each["pointer"])} for each in found] or [
                field_problem(at, str(error), "invalid")
            ]
            continue
        seen.add(draft.id or "")
        made.append(Declaration(draft, options["source"], options["revision"]))
    if errors:
        raise _refused(call, errors)
    return made


def _check_id(schedule_id: str | None, seen: set[str]) -> None:
    if schedule_id is None:
        raise InvalidValue("/schedule_id", "is missing: what is declared has a name", rule="missing")
    if schedule_id in seen:
        raise InvalidValue("/schedule_id", f"{schedule_id} is declared twice", rule="duplicate")


def _refused(call: Call, errors: Sequence[Mapping[str, Any]]) -> HttpProblem:
    return invalid_body([dict(each) for each in errors], status=call.host.settings.validation_status)


async def _compare(
    call: Call, declarations: Sequence[Declaration], sources: Sequence[str], *, redeclare: bool
) -> list[Row]:
    rows = [_difference(each, await _standing(call, each.id), redeclare=redeclare) for each in declarations]
    names = {each.id for each in declarations}
    for source in sources:
        where = ScheduleFilter(phases=frozenset({Phase.ACTIVE}), owner="code", source=source)
        after: str | None = ""
        while after is not None:
            page = await call.host.schedules.list(where, limit=PAGE, after=after)
            rows += [_row(each.id, "orphaned") for each in page.items if each.id not in names]
            after = page.next
    return rows


async def _standing(call: Call, schedule_id: str) -> Schedule | None:
    try:
        return await call.host.schedules.get(schedule_id)
    except NotFound:
        return None


def _difference(declaration: Declaration, standing: Schedule | None, *, redeclare: bool) -> Row:
    """What would become of one declaration: each field with what is in force and what would be."""
    form = plain(declaration.draft.form)
    if standing is None:
        return _row(declaration.id, "created", [_change(name, None, value) for name, value in form.items()])
    override = override_form(standing) if standing.declared is not None else {}
    before, after = definition_of(standing), effective(form, override)
    kept = sorted(name for name, value in override.items() if form.get(name) != value)
    changes = [
        _change(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    if changes and declared_by(standing)[1] > declaration.revision and not redeclare:
        return _row(declaration.id, "older", changes, kept)
    return _row(declaration.id, "updated" if changes else "unchanged", changes, kept)


def _change(name: str, before: Any, after: Any) -> Row:
    return {"field": name, "from": before, "to": after}


def _row(schedule_id: str, outcome: str, changes: Sequence[Row] = (), kept: Sequence[str] = ()) -> Row:
    return {"schedule_id": schedule_id, "outcome": outcome, "changes": list(changes), "kept": list(kept)}
