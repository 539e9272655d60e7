"""Settings: what wins, what is refused, and that each value knows where it came from."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from angelica.clock import DAY, SECOND
from angelica.domain.retry import Profile
from angelica.durations import format_duration
from angelica.errors import InvalidValue
from angelica.settings import OPTIONS, Settings


def load(directory: Path, environ: dict[str, str] | None = None, **given: object) -> Settings:
    return Settings.load(directory=directory, environ=environ or {}, **given)


def test_defaults_need_no_file(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings()
    assert settings.url == "sqlite:///angelica.db"
    assert (settings.lease_ttl, settings.heartbeat, settings.lease_margin) == (15 * SECOND, 5 * SECOND, 3 * SECOND)
    assert (settings.grace, settings.retention) == (20 * SECOND, 7 * DAY)
    assert {name: settings.origin(name) for name in OPTIONS} == dict.fromkeys(OPTIONS, "default")


def test_every_field_but_the_origins_is_an_option_with_a_description() -> None:
    assert {f.name for f in fields(Settings)} - set(OPTIONS) == {"origins"}
    assert [name for name, option in OPTIONS.items() if not option.doc.endswith((".", "400."))] == []


def test_defaults_are_what_they_would_be_read_as() -> None:
    plain = Settings()
    for name, option in OPTIONS.items():
        value = getattr(plain, name)
        if value is None or name in ("profiles", "commands"):
            continue
        written = format_duration(value) if option.shown.endswith(("s", "d")) and isinstance(value, int) else value
        assert option.read(written) == value, name


def test_keyword_beats_environment_beats_file(tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text('port = 1\npoll = "2s"\nworkers = 3\n', "utf-8")
    settings = load(tmp_path, {"ANGELICA_PORT": "2", "ANGELICA_POLL": "4s"}, port=5)
    assert (settings.port, settings.poll, settings.workers) == (5, 4 * SECOND, 3)
    assert settings.origin("port") == "keyword"
    assert settings.origin("poll") == "environment variable ANGELICA_POLL"
    assert settings.origin("workers") == "angelica.toml"
    assert settings.origin("host") == "default"


def test_a_keyword_that_is_none_is_not_given_but_the_word_none_is(tmp_path: Path) -> None:
    environ = {"ANGELICA_SLOTS": "7"}
    assert load(tmp_path, environ, slots=None).slots == 7
    assert load(tmp_path, environ, slots="none").slots is None


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert load(tmp_path, {"ANGELICA_PORT": " "}).port == 8765


def test_the_project_file_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.angelica]\napp = "shop:engine"\n', "utf-8")
    settings = load(tmp_path)
    assert settings.app == "shop:engine"
    assert settings.origin("app") == "[tool.angelica] in pyproject.toml"
    (tmp_path / "angelica.toml").write_text("port = 1\n", "utf-8")
    assert load(tmp_path).app is None


def test_a_project_file_without_our_table_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n', "utf-8")
    assert load(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("given", "url", "path"),
    [
        ("jobs.db", "sqlite:///jobs.db", Path("jobs.db")),
        ("/var/lib/jobs.db", "sqlite:////var/lib/jobs.db", Path("/var/lib/jobs.db")),
        (Path("/srv/jobs.db"), "sqlite:////srv/jobs.db", Path("/srv/jobs.db")),
        ("sqlite:///jobs.db", "sqlite:///jobs.db", Path("jobs.db")),
        (":memory:", "memory:", None),
        ("memory:", "memory:", None),
    ],
)
def test_addresses_of_a_store(tmp_path: Path, given: str | Path, url: str, path: Path | None) -> None:
    settings = load(tmp_path, url=given)
    assert (settings.url, settings.sqlite_path) == (url, path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_database_is_an_address_that_is_shown_without_its_password(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://ann:s3cret@db.example.org:5433/jobs?schema=shop"
    settings = load(tmp_path, url=url)
    assert (settings.url, settings.postgres_url, settings.sqlite_path) == (url, url, None)
    assert settings.shown_url == "postgresql://ann@db.example.org:5433/jobs?schema=shop"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            "postgresql:///jobs?host=/run/postgresql&user=ann&password=s3cret",
            "postgresql:///jobs?host=/run/postgresql&user=ann",
        ),
        ("postgresql://ann:s3cret@one:5432,two:5433/jobs", "postgresql://ann@one:5432,two:5433/jobs"),
        ("postgresql://ann:s3cret@[::1]:5432/jobs?sslpassword=s3cret", "postgresql://ann@[::1]:5432/jobs"),
    ],
)
def test_an_address_as_it_is_shown_leads_to_the_same_place(tmp_path: Path, given: str, shown: str) -> None:
    assert load(tmp_path, url=given).shown_url == shown
    assert load(tmp_path, url=shown).shown_url == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ann:s3cret@db/jobs?schema=pg_catalog", "no name for a schema"),
        ("postgresql://ann:s3cret@db/jobs?pooler=session", "pooler=transaction"),
        ("postgresql://ann:s3cret@db:none/jobs", "user:password@host"),
        ("mysql://ann:s3cret@db/jobs", "postgresql://user:password@host"),
        ("postgresql://ann:s3cret/1@db/jobs", "percent"),
        ("postgresql://ann:1/s3cret@db/jobs", "percent"),
        ("postgresql://ann:a#s3cret@db/jobs", "percent"),
        ("postgresql://ann:1?s3cret@db/jobs", "percent"),
        ("postgresql://ann:s3cret@[db/jobs", "user:password@host"),
    ],
)
def test_an_address_that_will_not_do_is_refused_without_its_password(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        load(tmp_path, url=url)
    assert said in f"{refused.value} {refused.value.hint}"
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("poll", "250ms", 250_000),
        ("poll", 0.5, 500_000),
        ("grace", "1m", 60 * SECOND),
        ("retention", "30d", 30 * DAY),
        ("payload_limit", "1MiB", 1_048_576),
        ("queues", "mail, etl,mail", ("mail", "etl")),
        ("queues", ["mail", "etl"], ("mail", "etl")),
        ("queues", "none", None),
        ("allowed_hosts", "jobs.example.org", ("jobs.example.org",)),
        ("auto_migrate", "off", False),
        ("auto_migrate", True, True),
        ("embed", False, "off"),
        ("embed", "ON", "on"),
        ("durability", "fast", "fast"),
        ("validation_status", "400", 400),
        ("log_format", "json", "json"),
        ("max_depth", "1000", 1000),
    ],
)
def test_what_may_be_written(tmp_path: Path, name: str, written: object, value: object) -> None:
    assert getattr(load(tmp_path, **{name: written}), name) == value


@pytest.mark.parametrize(
    ("name", "written", "hint"),
    [
        ("port", "http", "must be a whole number from 0 to 65535"),
        ("port", 65536, "must be a whole number from 0 to 65535"),
        ("port", True, "must be a whole number from 0 to 65535"),
        ("port", "tcp://10.0.0.1:8765", "enableServiceLinks: false"),
        ("workers", 0, "must be a whole number from 1 to 1024"),
        ("poll", "soon", "must be a duration from 0.01s to 60s"),
        ("poll", -1, "must be a duration from 0.01s to 60s"),
        ("payload_limit", "lots", "must be a size from 1024 to 67108864 bytes"),
        ("durability", "none", "must be one of full, fast"),
        ("auto_migrate", "maybe", "must be true or false"),
        ("queues", [""], "must be a list of texts"),
        ("host", "", "must be a text"),
        ("url", "mysql://localhost", "must be sqlite:///angelica.db"),
        ("validation_status", 404, "must be 422 or 400"),
        ("profiles", {"slow": {"timeout": "10m"}}, "for the profile 'slow'"),
        ("profiles", {"slow": {"timeout": "10m", "retries": -1}}, "for the profile 'slow'"),
    ],
)
def test_what_may_not(tmp_path: Path, name: str, written: object, hint: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        load(tmp_path, **{name: written})
    assert refused.value.field == f"/{name}"
    assert "(from keyword)" in refused.value.problem
    assert hint in refused.value.hint


def test_a_bad_value_names_its_file_and_variable(tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text('poll = "soon"\n', "utf-8")
    with pytest.raises(InvalidValue, match=r"poll: 'soon' will not do \(from angelica\.toml\)"):
        load(tmp_path)
    (tmp_path / "angelica.toml").write_text("", "utf-8")
    with pytest.raises(InvalidValue, match=r"\(from environment variable ANGELICA_POLL\)"):
        load(tmp_path, {"ANGELICA_POLL": "soon"})


def test_unknown_keys_are_refused_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"prot: there is no such setting \(from keyword\) \(did you mean port\?\)"):
        load(tmp_path, prot=1)
    (tmp_path / "angelica.toml").write_text("wrokers = 2\n", "utf-8")
    with pytest.raises(InvalidValue, match=r"\(from angelica\.toml\) \(did you mean workers\?\)"):
        load(tmp_path)


def test_a_variable_that_looks_like_a_slip_is_refused_and_a_stranger_is_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"environment variable ANGELICA_PROT.*did you mean port"):
        load(tmp_path, {"ANGELICA_PROT": "1"})
    strangers = ["ANGELICA_TOKEN", "ANGELICA_API", "ANGELICA_SERVICE_HOST", "ANGELICA_PORT_8765_TCP", "ANGELICA_TEST_X"]
    assert load(tmp_path, dict.fromkeys(strangers, "x")) == Settings()


def test_profiles_come_from_a_table_and_add_to_the_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text('[profiles.slow]\ntimeout = "10m"\nretries = 1\n', "utf-8")
    profiles = load(tmp_path).profiles
    assert profiles["slow"] == Profile(timeout=600.0, retries=1)
    assert set(profiles) == {"quick", "write", "bulk", "slow"}
    with pytest.raises(InvalidValue, match="cannot be set by an environment variable"):
        load(tmp_path, {"ANGELICA_PROFILES": "{}"})


def test_a_heartbeat_must_fit_into_the_lease(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"heartbeat: 5s leaves no time.*less than lease_ttl - lease_margin.*3s"):
        load(tmp_path, lease_ttl="6s")


def test_a_file_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text("port = \n", "utf-8")
    with pytest.raises(InvalidValue, match="line 1"):
        load(tmp_path)


def test_settings_are_frozen_and_equal_by_value(tmp_path: Path) -> None:
    settings = load(tmp_path, port=1)
    with pytest.raises(FrozenInstanceError):
        settings.port = 2
    assert settings == load(tmp_path, {"ANGELICA_PORT": "1"})


COMMANDS = """
[worker]
cpu = 1.5
memory = "2GiB"

[commands.train]
pattern = "python train.py --epoch {int}"
program = ["/nonexistent/python3", "{python}", "/bin/sh"]
files = ["train.py"]
memory = "512MiB"
"""


def test_commands_come_from_the_file_and_stand_beside_it(tmp_path: Path) -> None:
    (tmp_path / "angelica.toml").write_text(COMMANDS, "utf-8")
    settings = load(tmp_path)
    (command,) = settings.commands.commands.values()
    assert (command.name, command.files) == ("train", (str(tmp_path / "train.py"),))
    assert Path(command.program).is_file()
    assert settings.commands.match("python train.py --epoch 3").argv == (command.program, "train.py", "--epoch", "3")
    assert settings.origin("commands") == "angelica.toml"
    assert (settings.worker_cpu, settings.worker_memory) == (1.5, 2 << 30)
    assert not load(tmp_path / "elsewhere").commands


def test_commands_come_from_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"cannot be set by a keyword \(set it in angelica\.toml\)"):
        load(tmp_path, commands={"train": {"pattern": "id", "program": "/usr/bin/id"}})
    with pytest.raises(InvalidValue, match="cannot be set by an environment variable ANGELICA_COMMANDS"):
        load(tmp_path, {"ANGELICA_COMMANDS": "id"})


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[commands]\ntrain = 1\n", "/commands/train"),
        ('[commands.train]\npattern = "id"\nprogram = "id"\n', "/commands/train/program"),
        ('[commands.train]\npattern = "id"\nprogram = ["/usr/bin/id", "id"]\n', "/commands/train/program"),
        ('[commands.train]\npattern = "id"\nprogram = []\n', "/commands/train/program"),
        ("worker = 3\n", "/worker"),
        ("[worker]\ncpus = 3\n", "/worker_cpus"),
        ("[worker]\ncpu = 0\n", "/worker_cpu"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, field: str) -> None:
    (tmp_path / "angelica.toml").write_text(text, "utf-8")
    with pytest.raises(InvalidValue) as refused:
        load(tmp_path)
    assert refused.value.field == field
