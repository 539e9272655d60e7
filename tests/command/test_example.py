"""The example command with the configuration that the documentation gives for it, as any user and from any checkout."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

from angelica.allowed import read_allowed
from angelica.runtime.commands.checks import problems
from angelica.runtime.commands.environment import environment
from angelica.runtime.commands.spec import CommandSpec
from tests.command.house import PYTHON, play, ran, runner_in

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "commands.md"


def allowed():
    (block,) = re.findall(
        r"^```toml title=\"angelica.toml\"\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return read_allowed(tomllib.loads(block)["commands"], ROOT / "examples", "angelica.toml")


def spec_of(text, **more):
    line = allowed().match(text)
    command = line.command
    made = environment(command, {}, task_id="job-001", attempt=1, queue="default", deadline=None)
    argv = (PYTHON, *line.argv[1:])
    return CommandSpec(argv, {**made, **more}, files=command.files, run_as=command.run_as, limits=command.limits)


def test_the_documented_configuration_fits_this_checkout():
    listed = allowed()
    commands = [replace(command, program=PYTHON) for command in listed.commands.values()]
    assert problems(type(listed)(commands)) == []
    gone = [replace(command, program="/nonexistent", files=("/gone",)) for command in commands]
    assert [text.split(": ", 1)[1] for text in problems(type(listed)(gone))] == [
        "/nonexistent is no executable file",
        "/gone cannot be read",
    ]


def test_it_trains_and_shows_each_epoch_as_it_ends(directory):
    async def story():
        async with runner_in(directory) as runner:
            batches = []
            end = await runner.run(
                spec_of("python train.py --epoch 40"), on_lines=lambda stream, lines: batches.append((stream, lines))
            )
            return end, batches

    end, batches = play(story())
    lines = [line for stream, some in batches if stream == "stdout" for line in some]
    assert end.exit_code == 0, batches
    assert [line.split()[1] for line in lines[:-1]] == [f"{n}/40" for n in range(1, 41)]
    assert lines[-1].startswith("y = ")
    assert len(batches) > 5


def test_it_ends_in_good_order_when_it_is_told_to(directory):
    async def story():
        async with runner_in(directory) as runner:
            stop = asyncio.Event()
            lines = []

            def take(_stream, some):
                lines.extend(some)
                stop.set()

            return await runner.run(spec_of("python train.py --epoch 10000"), on_lines=take, stop=stop), lines

    end, lines = play(story())
    assert (end.reason, end.exit_code, end.killed_by) == ("stopped", 1, None)
    assert any(line.startswith("stopped after epoch") for line in lines)


def test_it_heeds_its_deadline(directory):
    async def story():
        async with runner_in(directory) as runner:
            script = "import time, os; os.environ['TASK_DEADLINE'] = str(time.time()); exec(open('train.py').read())"
            return await ran(runner, PYTHON, "-c", script, files=(str(ROOT / "examples" / "train.py"),))

    done = play(story())
    assert (done.end.exit_code, done.err) == (0, ["stopped after epoch 1"])
    assert json.dumps(done.out[0].split()[:2]) == '["epoch", "1/10"]'
