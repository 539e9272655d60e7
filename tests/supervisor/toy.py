"""A child process for the supervisor's tests: says what it is told to say, writes down what happens to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from angelica.process import hear
from angelica.runtime.childlink import ChildLink


async def main(name: str, mode: str, journal: Path) -> int:  # noqa: C901 - one branch for each mode
    link = ChildLink.inherit()
    assert link is not None

    def note(word: str) -> None:
        with journal.open("a") as file:
            file.write(f"{name} {word} {os.getpid()}\n")

    note("started")
    if mode == "broken":
        link.failed("ImportError: no module named nosuch", hint="check APP")
        return 1
    if mode == "fatal":
        link.failed("the schema is newer", fatal=69)
        return 69
    stop = asyncio.Event()
    terms = 0
    code = 0

    def on_term() -> None:
        nonlocal terms, code
        terms += 1
        note("term")
        if mode == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if mode == "fails":
            link.failed("OSError: disk full")
            code = 1
        if mode == "deaf" or (mode == "slow" and terms < 2):
            return
        stop.set()

    def on_word(word: str) -> None:
        note(word)
        if word == "hasten" and mode != "deaf":
            stop.set()

    hear((signal.SIGTERM,), on_term)
    link.watch(on_word, stop.set)
    link.ready({"worker": f"{name}-{os.getpid()}", "start_file": None, "files": [str(journal.with_name("app.py"))]})
    if mode.startswith("leaves"):
        leave(link, stop, dies=mode == "leaves-and-dies")
    await stop.wait()
    note("stopped")
    return code


def leave(link: ChildLink, stop: asyncio.Event, *, dies: bool) -> None:
    link.leaving()
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    stop.set()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
