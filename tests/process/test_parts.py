"""The parts by themselves: the meter, the tree of processes, and the lines that a journal takes over."""

from __future__ import annotations

import os
import subprocess

from angelica.clock import SystemClock
from angelica.current import Running
from angelica.runtime.journal import Journal
from angelica.runtime.warm import tree
from angelica.runtime.warm.meter import Meter
from tests.process.house import lives, until

CLOCK = SystemClock()


def test_the_meter_measures_what_came_in_between():
    meter = Meter()
    meter.begin()
    block = bytearray(32 << 20)
    usage = meter.end()
    assert usage.source == "vmhwm"
    assert usage.peak_memory > len(block)
    assert usage.cpu_seconds >= 0.0
    assert meter.rss > 32 << 20


def test_the_meter_says_so_where_it_cannot_set_the_peak_back():
    meter = Meter()
    meter._reset = None
    meter.begin()
    usage = meter.end()
    assert usage.source == "maxrss"
    assert usage.peak_memory > 1 << 20


def family():
    """A process with a child and a grandchild."""
    return subprocess.Popen(["sh", "-c", "sh -c 'sleep 600; true' & sleep 600; true"], start_new_session=True)


def test_descendants_are_found_with_and_without_the_kernels_lists():
    with family() as head:
        found = until(lambda: len(pids := tree._descendants(head.pid)) == 3 and pids)
        assert tree._descendants_by_scan(head.pid) == found
        tree.kill_tree(head.pid)
        until(lambda: not any(lives(pid) for pid in found))


def test_what_carries_the_mark_is_ended_wherever_it_stands():
    marked = {**os.environ, tree.MARK: "mine"}
    others = {**os.environ, tree.MARK: "mine-not"}
    with (
        subprocess.Popen(["sleep", "600"], env=marked, start_new_session=True) as mine,
        subprocess.Popen(["sleep", "600"], env=others) as other,
        subprocess.Popen(["true"]) as gone,
    ):
        gone.wait()
        until(lambda: list(tree._marked("mine")) == [mine.pid])  # it carries it once it has become `sleep`
        tree.kill_rest(gone.pid, "mine")
        assert mine.wait(5) < 0
        assert lives(other.pid)
        other.kill()


def test_lines_that_are_taken_over_keep_their_moments_and_are_bounded():
    journal = Journal(CLOCK, limit=1_000)
    running = Running("t", 1, "f", "q", "", journal)
    journal.take_over(running, [(5, "stdout", "", "", "a"), (6, "log", "INFO", "x.y", "b\x00c")])
    journal.take_over(running, [(7, "stdout", "", "", "x" * 900)] * 3)
    *lines, last = journal.close(running)
    assert [(line.at, line.seq, line.stream, line.level, line.logger) for line in lines[:2]] == [
        (5, 1, "stdout", "", ""),
        (6, 2, "log", "INFO", "x.y"),
    ]
    assert [line.message for line in lines[:2]] == ["a", "b\\x00c"]
    assert len(lines) == 3
    assert last.message.startswith("… 2 lines (1,800 bytes) dropped: over the limit")
    journal.take_over(running, [(8, "stdout", "", "", "late")])
    assert (journal.late.lines, journal.errors) == (1, 0)
