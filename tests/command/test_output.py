"""Output: lines as they come, bounded and counted exactly; a flood neither blocks nor grows the worker."""

from __future__ import annotations

import asyncio
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.runtime.commands.frames import BadFrame, body_length, pack, unpack
from angelica.runtime.commands.output import LINE_COST, Budget, LineStream, OutputLimits
from tests.command.house import PYTHON, play, ran, run, runner_in

MIB = 1 << 20
WIDE = OutputLimits(line=1 << 20, total=1 << 40, rate=1 << 30, burst=1 << 40)


def stream(limits=WIDE):
    return LineStream(Budget(limits, 0))


def fed(blocks, limits=WIDE):
    made = stream(limits)
    lines = [line for block in blocks for line in made.feed(block, 0)]
    return lines + made.close(0), made


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\xc3", b"\xa9", b"\xff", b"\0"]), max_size=30),
    st.data(),
)
def test_lines_do_not_depend_on_how_the_bytes_were_cut(parts, data):
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    blocks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    lines, made = fed([block for block in blocks if block])
    # Not decoded as a whole: a byte that is no UTF-8 must not change where the next line begins.
    ends = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = [line.decode("utf-8", "replace") for line in ends.removesuffix(b"\n").split(b"\n")] if whole else []
    assert lines == expected
    assert (made.dropped_lines, made.dropped_bytes) == (0, 0)


def test_a_long_line_is_cut_within_the_limit_and_says_its_size():
    for length in (1000, 1001, 5000, 100_000):
        (line,), _ = fed([b"x" * 700] * (length // 700) + [b"x" * (length % 700) + b"\n"], WIDE._replace(line=1000))
        assert len(line.encode()) <= 1000
        assert line == "x" * 1000 if length == 1000 else line.endswith(f" … [cut: the line has {length:,} bytes]")


def test_a_character_on_the_edge_of_a_cut_is_left_out_whole():
    (line,), _ = fed(["é".encode() * 1000 + b"\n"], WIDE._replace(line=201))
    assert line.startswith("é" * 68 + " … [cut")


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(64, 4000))
def test_what_is_passed_on_and_what_is_dropped_are_all_that_came(blocks, total):
    limits = WIDE._replace(total=total)
    lines, made = fed(blocks, limits)
    everything, _ = fed(blocks)
    assert lines == everything[: len(lines)] or made.dropped_lines
    assert len(lines) + made.dropped_lines == len(everything)
    assert sum(len(line.encode("utf-8", "ignore")) + LINE_COST for line in lines if "\ufffd" not in line) <= total
    whole = b"".join(blocks).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    size = len(whole) - whole.count(b"\n")
    assert made.dropped_bytes <= size
    if not lines:
        assert made.dropped_bytes == size


def test_the_rate_fills_up_again():
    limits = OutputLimits(line=1000, total=1 << 30, rate=1000, burst=1000)
    made = stream(limits)
    assert len(made.feed(b"x" * 36 + b"\n" + b"y" * 836 + b"\n" + b"z\n" * 5, 0)) == 2
    assert (made.dropped_lines, made.dropped_bytes) == (5, 5)
    assert made.feed(b"later\n", 100_000) == ["later"]
    assert made.feed(b"z\n", 110_000) == []
    assert made.dropped_lines == 6


def test_frames_are_read_back_and_others_refused():
    frame = pack({"a": ["é", "\ud800", "\0"]})
    assert body_length(frame[:4]) == len(frame) - 4
    assert unpack(frame[4:]) == {"a": ["é", "\ud800", "\0"]}
    for body in (b"", b"[]", b"{", b"\xff"):
        with pytest.raises(BadFrame):
            unpack(body)
    with pytest.raises(BadFrame):
        body_length(b"\xff\xff\xff\xff")
    with pytest.raises(BadFrame):
        pack({"a": "x" * (17 << 20)})


def test_lines_come_while_it_runs_and_each_from_its_stream(directory):
    moments = []
    script = """
        import sys, time
        for n in range(4):
            print("out", n, flush=True)
            print("err", n, file=sys.stderr)
            time.sleep(0.15)
    """
    done = run(directory, PYTHON, "-c", textwrap.dedent(script), on_lines=lambda *_: moments.append(time.monotonic()))
    assert done.out == [f"out {n}" for n in range(4)]
    assert done.err == [f"err {n}" for n in range(4)]
    assert moments[-1] - moments[0] > 0.3


def test_a_progress_bar_is_shown_as_it_moves(directory):
    script = "import sys, time\nfor n in range(3):\n    print(f'\\r{n}0 %', end='', flush=True)\n    time.sleep(0.1)"
    assert run(directory, PYTHON, "-c", script).out == ["", "00 %", "10 %", "20 %"]


def test_bytes_of_any_kind_and_a_last_line_without_an_end(directory):
    done = run(directory, PYTHON, "-c", "import os; os.write(1, b'\\xff\\x00\\x1b[31m\\n\\n'); os.write(2, b'no end')")
    assert (done.out, done.err) == (["\ufffd\x00\x1b[31m", ""], ["no end"])


def resident():
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


FLOOD = """
import os, time
block = (b"x" * 99 + b"\\n") * 655
for _ in range({blocks}):
    os.write(1, block)
"""


def test_a_flood_of_a_gigabyte_neither_blocks_nor_grows_the_worker(directory):
    blocks = 16_384  # 1 GiB of lines of 100 bytes

    async def story():
        peak = [resident()]
        seen = [0]

        def take(_stream, lines):
            seen[0] += len(lines)
            peak[0] = max(peak[0], resident())

        async with runner_in(directory) as runner:
            await ran(runner, "/bin/true")
            before = peak[0] = resident()
            from tests.command.house import spec

            end = await runner.run(spec(PYTHON, "-c", FLOOD.format(blocks=blocks), timeout=60), on_lines=take)
            return end, seen[0], peak[0] - before

    end, seen, growth = play(story(), 70)
    assert (end.reason, end.exit_code) == ("exited", 0)
    lines, size = end.dropped["stdout"]
    assert seen + lines == blocks * 655
    assert size == lines * 99
    assert growth < 32 * MIB
    assert end.seconds < 30


def test_a_worker_that_does_not_read_holds_the_command_and_grows_by_nothing(directory):
    # Back pressure: as long as nobody takes its lines, the command waits; what it wrote is not lost.
    async def story():
        async with runner_in(directory) as runner:
            first = asyncio.Event()

            def take(_stream, _lines):
                if not first.is_set():
                    first.set()
                    time.sleep(0.7)  # the event loop, and with it the worker, stands still

            return await ran(runner, PYTHON, "-c", FLOOD.format(blocks=60), on_lines=take)

    done = play(story())
    assert done.end.exit_code == 0
    assert len(done.out) == 60 * 655
    assert done.end.dropped["stdout"] == (0, 0)


def test_one_line_without_an_end_of_a_hundred_megabytes(directory):
    script = "import os\nfor _ in range(1600): os.write(1, b'x' * 65536)"
    done = run(directory, PYTHON, "-c", script)
    assert done.out[0].endswith("[cut: the line has 104,857,600 bytes]")
    assert len(done.out) == 1


def test_the_pipe_that_a_grandchild_keeps_open_holds_nothing_up(directory):
    done = run(directory, "/bin/sh", "-c", "sleep 300 & echo out; exit 4")
    assert (done.end.reason, done.end.exit_code, done.out) == ("exited", 4, ["out"])
    assert done.end.seconds < 2
