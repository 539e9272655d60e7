"""The command line on a store in PostgreSQL: what it prints, how it exits, and that it never prints a password."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from angelica.storage.postgres.schema import SCHEMA_VERSION
from tests.cli.conftest import Done, environment
from tests.postgres.pgbouncer import PgBouncer

SECRET = "s3cret/of@them"
ENCODED = "s3cret%2Fof%40them"
Call = Callable[..., Done]


@pytest.fixture
def url(postgres_url: str) -> str:
    """The store's address with a password, which the test's server does not ask for."""
    parts = urlsplit(postgres_url)
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{ENCODED}@{place}"))


@pytest.fixture
def on(run: Call, url: str) -> Call:
    """Run a command on the store; whatever comes, no password is in it."""

    def call(*words: str, url: str = url, **env: str) -> Done:
        done = run(*words, ANGELICA_URL=url, **env)
        for text in (done.out, done.err):
            assert "s3cret" not in text
            assert "Traceback" not in text
        return done

    return call


def said(done: Done) -> str:
    return f"{done.code} {done.out} {done.err}"


@pytest.mark.parametrize("words", [["db", "status"], ["tasks", "list"]])
def test_no_store_is_made_by_looking(on: Call, words: list[str]) -> None:
    done = on(*words)
    assert (done.code, "there is no store in postgresql://" in done.err) == (69, True), said(done)
    assert on("db", "status").code == 69


def test_the_life_of_a_store(on: Call, url: str) -> None:
    done = on("db", "migrate", ANGELICA_AUTO_MIGRATE="off")
    assert (done.code, f"is at schema version {SCHEMA_VERSION}" in done.err) == (0, True), said(done)
    assert "0001 tables (1 of" in done.err
    assert "(1 of" not in on("db", "migrate").err
    assert on("enqueue", "angelica.hello", "-q").code == 0
    assert on("enqueue", "angelica.hello", "--in", "1h", "-q").code == 0
    status = json.loads(on("db", "status", "-o", "json").out)
    assert (status["kind"], status["schema_version"]) == ("postgresql", SCHEMA_VERSION)
    assert (status["tasks"]["queued"], status["tasks"]["scheduled"]) == (1, 1)
    assert status["max_connections"] >= status["connections"]
    assert len(json.loads(on("tasks", "list", "-o", "json").out)) == 2
    assert on("functions", "list").code == 0
    assert on("workers", "list").code == 0
    assert on("schedules", "add", "tick", "--every", "1h", "--task", "angelica.hello").code in {0, 2}
    assert on("schedules", "list").code == 0
    assert "all is well (2 tasks)" in on("db", "check").err
    assert on("db", "prune").code == 0


def test_counters_are_checked_and_repaired(on: Call, url: str) -> None:
    on("enqueue", "angelica.hello", "-q")
    with psycopg.connect(url.partition("?")[0], autocommit=True) as other:
        other.execute(f"set search_path = {url.partition('schema=')[2]}")  # type: ignore[call-overload]
        other.execute("update counters set n = 7 where n = 1")
    done = on("db", "check")
    assert (done.code, "has 1 queued tasks, its counter says 7" in done.out) == (1, True), said(done)
    done = on("db", "check", "--repair")
    assert (done.code, "1 counters repaired" in done.err) == (0, True), said(done)


def test_the_schema_is_printed_as_a_script_that_runs(on: Call, url: str, postgres_url: str) -> None:
    script = on("db", "sql", "--pending")
    assert script.out == on("db", "sql").out
    assert f"create schema if not exists {url.partition('schema=')[2]};" in script.out
    with psycopg.connect(url.partition("?")[0], autocommit=True) as other:
        other.execute(script.out)  # type: ignore[call-overload]
    done = on("db", "sql", "--pending")
    assert (done.code, done.out, "nothing is missing" in done.err) == (0, "", True), said(done)
    assert json.loads(on("db", "status", "-o", "json").out)["schema_version"] == SCHEMA_VERSION


def test_a_schema_is_not_made_through_a_pooler(on: Call, url: str) -> None:
    done = on("db", "migrate", url=f"{url}&pooler=transaction")
    assert (done.code, "through a pooler" in done.err) == (69, True), said(done)
    hint = shlex.split(done.err.partition("hint: ")[2])
    assert on("db", "migrate", url=hint[hint.index("--url") + 1]).code == 0
    assert on("db", "migrate", url=f"{url}&pooler=transaction").code == 0, "there is nothing to do"


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="needs PostgreSQL's own programs")
def test_backups_are_left_to_the_programs_that_make_them(on: Call, tmp_path: Path, postgres_cluster) -> None:
    on("enqueue", "angelica.hello", "-q")
    line = []
    for what in ("backup", "restore"):
        done = on("db", what, "copy of.dump")
        assert done.code == 2, said(done)
        line.append(shlex.split(done.err.partition("hint: ")[2]))
    if postgres_cluster.version != _version_of("pg_dump"):
        return  # an older pg_dump refuses a newer server; the lines are the same
    for words in line:
        subprocess.run(words, check=True, cwd=tmp_path, env=environment(PGPASSWORD="x"))
        on("enqueue", "angelica.hello", "-q")
    status = json.loads(on("db", "status", "-o", "json").out)
    assert status["tasks"]["queued"] == 2, "the one in the copy, and the one after it"
    assert on("db", "check").code == 0


def _version_of(program: str) -> int:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(shown.split()[2].split(".")[0])


def test_the_servers_clock_counts(on: Call) -> None:
    on("db", "migrate")
    done = on("db", "clock")
    assert (done.code, abs(float(done.out.split()[0])) < 0.5) == (0, True), said(done)
    done = on("db", "clock", "--accept")
    assert (done.code, "nothing to accept" in done.err) == (2, True), said(done)


def test_settings_are_shown_without_the_password(on: Call, url: str) -> None:
    done = on("config", "show", "--origin", url=f"{url}&sslpassword={ENCODED}")
    assert (done.code, "postgresql://" in done.out) == (0, True), said(done)


@pytest.mark.parametrize(
    "broken",
    ["postgresql://ann:s3cret@127.0.0.1:9/x", "postgresql://ann:1/s3cret@127.0.0.1/x", "mysql://ann:s3cret@db/x"],
)
@pytest.mark.parametrize("words", [["tasks", "list", "-o", "json"], ["doctor"]])
def test_an_address_that_leads_nowhere_keeps_its_password(on: Call, broken: str, words: list[str]) -> None:
    assert on(*words, url=broken).code in {1, 2, 69}


def found(done: Done) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads(done.out)}


def test_doctor(on: Call, url: str) -> None:
    assert found(on("doctor", "-o", "json"))["store"]["fix"] == "angelica db migrate"
    on("db", "migrate")
    rows = found(on("doctor", "-o", "json"))
    for name in ("store", "server", "durability", "clock", "pooler"):
        assert rows[name]["state"] == "ok", rows[name]
    rows = found(on("doctor", "-o", "json", url=f"{url}&pooler=transaction"))
    assert rows["pooler"]["state"] == "warn"


def test_doctor_through_a_pooler(on: Call, url: str, pgbouncer: PgBouncer) -> None:
    on("db", "migrate")
    there = pgbouncer.in_front_of(url)
    done = on("doctor", "-o", "json", url=there)
    assert (done.code, "add ?pooler=transaction" in found(done)["store"]["found"]) == (1, True), said(done)
    rows = found(on("doctor", "-o", "json", url=f"{there}&pooler=transaction"))
    assert [name for name, row in rows.items() if row["state"] == "red"] == []
    assert (rows["pooler"]["state"], rows["pooler"]["found"]) == ("ok", "transaction mode, as the address says")
    assert on("db", "check", "--repair", url=f"{there}&pooler=transaction").code == 0


def test_doctor_names_a_session_that_is_not_told_to_us(on: Call, postgres_database: str, postgres_cluster) -> None:
    name = urlsplit(postgres_database).path[1:]
    role = f"role_{name}"
    postgres_cluster.run(f"create role {role} login")
    postgres_cluster.run(f"grant create on database {name} to {role}")
    parts = urlsplit(postgres_database)
    theirs = urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))
    try:
        assert on("db", "migrate", url=theirs).code == 0
        with psycopg.connect(postgres_database) as idle:
            idle.execute("select pg_current_xact_id()")
            row = found(on("doctor", "-o", "json", url=theirs))["horizon"]
            assert (row["state"], f"pid {idle.info.backend_pid}" in row["found"]) == ("warn", True)
            assert f"grant pg_monitor to {role}" in row["fix"]
            assert f"select pg_terminate_backend({idle.info.backend_pid})" in row["fix"]
    finally:
        postgres_cluster.run(f"drop owned by {role}", name)
        postgres_cluster.run(f"revoke all on database {name} from {role}")
        postgres_cluster.run(f"drop role {role}")
