"""A warm child: the process in which a worker lets functions of the `process` executor run."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import gc
import inspect
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from angelica.children import enter_child
from angelica.engine import Engine
from angelica.errors import AngelicaError, NotLoadable
from angelica.node import scrubber
from angelica.observe import logs
from angelica.runtime.childlink import die_with
from angelica.runtime.warm.inside import Inside
from angelica.runtime.warm.loading import load
from angelica.runtime.warm.post import Post
from angelica.runtime.warm.wire import Ready, Setup, Unfit

_PR_SET_CHILD_SUBREAPER: Final = 36
_NO_LINK: Final = 64
_OOM_SCORE: Final = "500"


def main() -> int:
    """Load the application, run what the worker sends, and end when it wants no more or is gone."""
    post = Post.inherit()
    if post is None:
        sys.stderr.write("this is started by a worker, not by hand\n")
        return _NO_LINK
    die_with(post.parent)
    _adopt_orphans()
    _go_first()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until an attempt can be stopped, the worker kills
    faulthandler.enable(post.box.faults)
    enter_child()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the worker is gone
        _serve(post, post.setup())
    return 0


def _serve(post: Post, setup: Setup) -> None:
    sys.path[:] = setup.path
    sys.argv[:] = setup.argv
    try:
        if setup.log_format is not None:
            _log_as(setup.log_format)
        engine = _engine(setup)
        inside = Inside(post, engine.functions, setup, scrubber())
        _preload(engine, inside)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        known = isinstance(error, AngelicaError)
        post.tell(Unfit(str(error) if known else f"{type(error).__name__}: {error}", "" if known else _frames(error)))
        post.send()
        return
    logs.install()
    gc.freeze()
    post.tell(Ready(tuple(engine.functions.names())))
    try:
        inside.run()
    finally:
        inside.close()
        if engine.is_open:
            engine.shutdown()


def _log_as(log_format: str) -> None:
    from angelica.cli.logs import set_up_logs
    from angelica.cli.state import GlobalOptions

    set_up_logs(log_format, GlobalOptions())


def _engine(setup: Setup) -> Engine:
    engine = load(setup.sources)
    if not isinstance(engine, Engine):
        source = setup.sources[0]
        hint = "a child process imports the module anew, and finds what its top level defines then"
        raise NotLoadable(f"{source.module}:{source.attribute} is no engine", hint=hint)
    engine.become_child(setup)
    missing = [name for name in setup.required if name not in engine.functions]
    if missing:
        hint = "declare it when its module is imported, not later"
        raise NotLoadable(f"a child process does not find {', '.join(missing)}", hint=hint)
    return engine


def _preload(engine: Engine, inside: Inside) -> None:
    for hook in engine.hooks.preload:
        answer = hook()
        if inspect.isawaitable(answer):
            inside.loop.run_until_complete(asyncio.ensure_future(answer, loop=inside.loop))


def _frames(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-20))


def _adopt_orphans() -> None:
    """Let what the tasks start stay below this process when its own parent ends, so that it can be found."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _go_first() -> None:
    """Let the kernel, when it runs out of memory, end this process rather than its worker."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, "ascii")


if __name__ == "__main__":
    sys.exit(main())
