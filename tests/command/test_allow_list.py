"""The allow-list: what a command text becomes, what is refused and how precisely, and the corpus of injections."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.command import AllowList, Command
from angelica.domain.command_config import read_commands
from angelica.domain.command_pattern import parse_pattern
from angelica.errors import CommandNotAllowed, CommandsDisabled, InvalidValue

PYTHON = "/usr/bin/python3"
INJECTIONS = [
    "; id", "&& id", "| id", "> /tmp/x", "$(id)", "`id`", "${IFS}", "$HOME", "1\nid", "1\r\nid", "--config=/x",
    "-oProxyCommand=id", "--", "-", "a b", "*", "?", "[a-z]*", "~root", "{a,b}", "!!", "#", "\\", "'", '"', "\t", "",
    "%s", "../../etc/passwd", "/etc/passwd", "x" * 1_000_000, "é", "\u202e", "\x1b[31m", "\x7f",
]  # fmt: skip


def allowing(pattern: str, **more: object) -> AllowList:
    return AllowList([Command("it", pattern, PYTHON, **more)])


def argv(pattern: str, text: str) -> tuple[str, ...]:
    return allowing(pattern).match(text).argv


def test_a_text_becomes_the_program_and_its_words() -> None:
    line = allowing("python train.py --epoch {int}").match("python train.py --epoch 100")
    assert line.argv == (PYTHON, "train.py", "--epoch", "100")
    assert (line.command.name, line.text) == ("it", "python train.py --epoch 100")
    assert argv("echo {text}", "echo 'two words'") == (PYTHON, "two words")
    assert argv("t --epoch={int:1..}", "t --epoch=7") == (PYTHON, "--epoch=7")


def test_a_command_says_what_its_tasks_need() -> None:
    table = {"pattern": "x", "program": PYTHON, "resources": {"cpu": 2, "memory": "64MiB"}}
    assert read_commands({"x": table}).match("x").command.resources == {"cpu": 2.0, "memory": 64 << 20}
    for wrong in (2, {}, {"gpu": 1}, {"cpu": 0}, {"memory": "1KB"}):
        with pytest.raises(InvalidValue) as refused:
            read_commands({"x": {**table, "resources": wrong}})
        assert refused.value.field == "/commands/x/resources"


def test_without_commands_they_are_off() -> None:
    with pytest.raises(CommandsDisabled):
        AllowList().match("python train.py")
    with pytest.raises(CommandsDisabled):
        AllowList().recheck("it", [PYTHON])
    assert not AllowList()


def test_what_no_pattern_takes_is_refused_with_the_nearest() -> None:
    commands = AllowList(
        [
            Command("train", "python train.py --epoch {int}", PYTHON),
            Command("backup", "backup {name} now", "/bin/backup"),
        ]
    )
    for text, near in [
        ("python train.py --epochs 100", "python train.py --epoch {int}"),
        ("python train.py", "python train.py --epoch {int}"),
        ("python train.py --epoch 1 --epoch 2", "python train.py --epoch {int}"),
        ("backup db", "backup {name} now"),
        ("rm -rf /", "backup {name} now"),
    ]:
        with pytest.raises(CommandNotAllowed) as refused:
            commands.match(text)
        if text != "rm -rf /":
            assert refused.value.near == near
        assert refused.value.near in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "{int}",
            ["0", "100", "+5", "9" * 18],
            ["", "1.5", "ten", "-5", "9" * 19, "1e3", "\uff11", " 1", "0x10", "1_0"],
        ),
        ("{int:1..10}", ["1", "10"], ["0", "11"]),
        ("{int:-5..5}", ["-5", "0"], ["-6", "--5"]),
        ("{-int}", ["-5", "5"], ["-"]),
        ("{float}", ["1", "1.5", ".5", "1.", "1e9"], ["", "-1", "nan", "inf", "1e999", "0x1p3", "1" * 41]),
        ("{float:0..1}", ["0", "1", "0.5"], ["1.1"]),
        ("{name}", ["a", "A-b_c.d", "0"], ["", "a b", ".a", "a/b", "-a", "a" * 129, "é", "a;b"]),
        ("{name:3}", ["abc"], ["abcd"]),
        (
            "{path}",
            ["a", "a/b.csv", "a b/c"],
            ["", "/a", "a/../b", "..", "./a", "a//b", "a/", "-a", "~/a", "$x", "a\nb"],
        ),
        ("{choice:small|large|-x}", ["small", "large", "-x"], ["", "medium", "Small", "-y"]),
        ("{text}", ["", "a b", "$(id)", "é", "a\nb", "x" * 4096], ["-a", "x" * 4097]),
        ("{-text:3}", ["-a", "abc"], ["abcd"]),
    ],
)
def test_placeholders_take_their_kind_and_nothing_else(kind: str, good: list[str], bad: list[str]) -> None:
    for value in good:
        assert argv(f"run {kind}", shlex.join(["run", value])) == (PYTHON, value)
    for value in bad:
        with pytest.raises(InvalidValue) as refused:
            argv(f"run {kind}", shlex.join(["run", value]))
        assert refused.value.field == "/command"
        assert refused.value.params["word"] == 2
        assert kind in str(refused.value)


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("kind", ["int", "float", "name", "path", "choice:a|b", "text", "-text"])
def test_an_injection_is_one_literal_argument_or_refused(kind: str, injection: str) -> None:
    commands = allowing(f"run x {{{kind}}} y")
    for text in (f"run x {injection} y", f"run x {shlex.quote(injection)} y", f'run x "{injection}" y'):
        try:
            line = commands.match(text)
        except (CommandNotAllowed, InvalidValue):
            continue
        assert len(line.argv) == 4
        assert (line.argv[0], line.argv[1], line.argv[3]) == (PYTHON, "x", "y")
        assert list(line.argv[1:]) == shlex.split(text)[1:]
        assert commands.recheck("it", line.argv) is line.command


def test_the_whole_injection_arrives_where_a_text_is_allowed() -> None:
    for injection in INJECTIONS:
        if len(injection) <= 4096:
            assert argv("run {-text}", shlex.join(["run", injection])) == (PYTHON, injection)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_whatever_the_words_are_an_allowed_line_has_exactly_them(words: list[str]) -> None:
    commands = allowing("run " + " ".join(["{-text}"] * len(words)))
    text = shlex.join(["run", *words])
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        with pytest.raises(InvalidValue):
            commands.match(text)
    else:
        assert commands.match(text).argv == (PYTHON, *words)


@given(st.text(max_size=200))
def test_any_text_is_matched_or_refused_by_name(text: str) -> None:
    commands = AllowList(
        [
            Command("train", "python train.py --epoch {int:1..1000}", PYTHON),
            Command("say", "say {text:20}", "/bin/echo"),
            Command("pick", "pick --size={choice:a|b} {path} {name} {float}", "/bin/pick"),
        ]
    )
    for line in (text, f"say {text}", f"python train.py --epoch {text}", f"pick --size={text} a b 1"):
        try:
            found = commands.match(line)
        except (CommandNotAllowed, InvalidValue):
            continue
        assert commands.recheck(found.command.name, found.argv) is found.command
        assert "\0" not in "".join(found.argv)


@given(st.lists(st.text(max_size=30), max_size=6))
def test_the_worker_runs_only_what_its_own_patterns_take(argv: list[str]) -> None:
    commands = allowing("python train.py --epoch {int:1..9}")
    try:
        commands.recheck("it", argv)
    except (CommandNotAllowed, InvalidValue):
        return
    assert argv[:3] == [PYTHON, "train.py", "--epoch"]
    assert len(argv) == 4
    assert 1 <= int(argv[3]) <= 9


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("other", [PYTHON, "train.py", "--epoch", "1"]),
        ("it", ["/bin/sh", "train.py", "--epoch", "1"]),
        ("it", ["python", "train.py", "--epoch", "1"]),
        ("it", [PYTHON, "other.py", "--epoch", "1"]),
        ("it", [PYTHON, "train.py", "--epoch", "1", "-c", "x"]),
        ("it", [PYTHON]),
        ("it", []),
    ],
)
def test_a_row_of_somebody_elses_making_is_refused(name: str, argv: list[str]) -> None:
    commands = allowing("python train.py --epoch {int}")
    with pytest.raises(CommandNotAllowed):
        commands.recheck(name, argv)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("run 'a", "cannot be split"),
        ("run a\\", "cannot be split"),
        ("run \0", "NUL"),
        ("run " + "x" * 40_000, "40,004 characters"),
        ("run" + " a" * 300, "301 words"),
    ],
)
def test_a_text_that_is_no_command_line_says_why(text: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        allowing("run {text}").match(text)


def test_the_first_pattern_that_takes_it_wins() -> None:
    commands = AllowList([Command("n", "run {int}", "/bin/n"), Command("t", "run {text}", "/bin/t")])
    assert commands.match("run 5").command.name == "n"
    assert commands.match("run x").command.name == "t"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "no words"),
        ("run 'x", "cannot be split"),
        ("{text} x", "begins with a placeholder"),
        ("run {word}", "there is no {word}"),
        ("run {int}{int}", "more than one"),
        ("run {", "a brace"),
        ("run {int:a..b}", "no range"),
        ("run {int:..}", "no range"),
        ("run {int:5..1}", "nothing fits"),
        ("run {int:1.5..2}", "no range"),
        ("run {text:0}", "no length"),
        ("run {text:9999}", "no length"),
        ("run {choice}", "names its words"),
        ("run {choice:a||b}", "names its words"),
        ("run {-name}", "take a dash"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_pattern(pattern)


def test_tables_of_the_configuration_become_commands() -> None:
    table = {
        "pattern": "python train.py --epoch {int}", "program": PYTHON, "files": ["train.py", "/srv/model.bin"],
        "run_as": "nobody", "env": ["AWS_REGION"], "timeout": "10m", "memory": "64MiB", "cpu": 1.5, "pids": 20,
    }  # fmt: skip
    command = read_commands({"train": table}, directory="/srv/app").commands["train"]
    assert command.files == ("/srv/app/train.py", "/srv/model.bin")
    assert (command.run_as, command.env, command.timeout) == ("nobody", ("AWS_REGION",), 600_000_000)
    assert (command.limits.memory, command.limits.cpu, command.limits.pids) == (64 << 20, 1.5, 20)
    plain = read_commands({"ls": {"pattern": "ls", "program": "/bin/ls"}}).commands["ls"]
    assert (plain.files, plain.run_as, plain.env, plain.timeout) == ((), None, (), None)
    assert (plain.limits.memory, plain.limits.cpu, plain.limits.pids) == (None, None, 128)


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"program": "python"}, "program", "absolute path"),
        ({"program": "/usr/../bin/x"}, "program", "absolute path"),
        ({"pattern": "run {word}"}, "pattern", "there is no {word}"),
        ({"patern": "x"}, "patern", "did you mean pattern?"),
        ({"files": "train.py"}, "files", "a list"),
        ({"files": ["a/x", "b/x"]}, "files", "different names"),
        ({"run_as": "root"}, "run_as", "another user than root"),
        ({"run_as": "a b"}, "run_as", "name of a user"),
        ({"env": ["LD_PRELOAD"]}, "env", "loads code"),
        ({"env": ["https_proxy"]}, "env", "proxy"),
        ({"env": ["PYTHONPATH"]}, "env", "loads code"),
        ({"env": ["ANGELICA_TOKEN"]}, "env", "ours"),
        ({"env": ["PATH"]}, "env", "ours"),
        ({"env": ["a=b"]}, "env", "is none"),
        ({"timeout": "soon"}, "timeout", "number of seconds"),
        ({"timeout": 0}, "timeout", "more than no time"),
        ({"memory": "lots"}, "memory", "number of bytes"),
        ({"memory": "1MiB"}, "memory", "at least 16MiB"),
        ({"cpu": 0}, "cpu", "number of CPUs"),
        ({"pids": 0}, "pids", "from 1 to"),
        ({"pids": True}, "pids", "from 1 to"),
    ],
)
def test_a_wrong_key_is_named_with_what_would_be_right(more: dict[str, object], field: str, said: str) -> None:
    table = {"pattern": "python x {int}", "program": PYTHON, **more}
    with pytest.raises(InvalidValue) as refused:
        read_commands({"train": table})
    assert refused.value.field == f"/commands/train/{field}"
    assert said in str(refused.value)
    assert "angelica.toml" in str(refused.value)


def test_a_table_that_lacks_a_key_or_is_none_is_refused() -> None:
    for tables, field in [
        ({"train": {"pattern": "x"}}, "/commands/train/program"),
        ({"train": {"program": "/x"}}, "/commands/train/pattern"),
        ({"train": 5}, "/commands/train"),
        ({"a b": {}}, "/commands/a b"),
        (5, "/commands"),
    ]:
        with pytest.raises(InvalidValue) as refused:
            read_commands(tables)
        assert refused.value.field == field
