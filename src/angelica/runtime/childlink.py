"""The child's end of the line to its supervisor: says that it is ready or why it failed, hears when to end."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LINK_VARIABLE: Final = "ANGELICA_CHILD_LINK"
_PR_SET_PDEATHSIG: Final = 1


class ChildLink:
    """One inherited socket: JSON lines up (`ready`, `failed`, `leaving`), words down (`drain`, `hasten`).

    Its end of file means that the parent died.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._socket = channel
        self._buffer = b""

    @classmethod
    def inherit(cls) -> ChildLink | None:
        """Take over the link if this process was started by a supervisor, else None.

        The variable is removed, so that what this process starts itself does not mistake the line for its own.
        On Linux the kernel is asked to kill this process when the parent dies: the end of file alone would not
        reach a process whose interpreter is blocked.
        """
        text = os.environ.pop(LINK_VARIABLE, "")
        descriptor, _, parent = text.partition(":")
        if not descriptor.isdigit() or not parent.isdigit():
            return None
        os.set_inheritable(int(descriptor), False)  # noqa: FBT003 - takes no keyword
        link = cls(socket.socket(fileno=int(descriptor)))
        die_with(int(parent))
        with suppress(ValueError):  # not the main thread: then the caller has its own signals
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # Ctrl-C reaches the whole group; the parent tells us what to do
        return link

    def ready(self, facts: Mapping[str, Any]) -> None:
        """Tell the parent that this process works; `facts` are JSON values about it."""
        self._send({"ready": True, **facts})

    def failed(
        self, error: str, *, hint: str = "", detail: str = "", fatal: int | None = None, moved_to: str = ""
    ) -> None:
        """Tell the parent why this process cannot start, or go on; the fields are those of `Failure`."""
        said = {"failed": error, "hint": hint, "detail": detail, "fatal": fatal, "moved_to": moved_to}
        self._send({**said, "files": loaded_files()})

    def leaving(self) -> None:
        """Tell the parent that this process ends because an operator wants it to, and is not to be started again."""
        self._send({"leaving": True})

    def watch(self, on_word: Callable[[str], None], on_gone: Callable[[], None]) -> None:
        """Call back on the running loop for each word of the parent, and once when the parent is gone."""
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(self._socket)
                on_gone()
                return
            *words, self._buffer = (self._buffer + data).split(b"\n")
            for word in words:
                on_word(word.decode())

        self._socket.settimeout(0)
        loop.add_reader(self._socket, read)

    def _send(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # the parent is gone; the watcher sees to it
            self._socket.settimeout(None)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            self._socket.settimeout(0)


def die_with(parent: int) -> None:
    """Let this process be killed when the thread of `parent` that started it ends; exit if it has ended already."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def loaded_files(roots: Iterable[Path] | None = None) -> list[str]:
    """Return the source files of the modules imported so far that lie under `roots` (default: the working one)."""
    wanted = [root.resolve() for root in roots] if roots is not None else [Path.cwd()]
    files = []
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or "site-packages" in name:
            continue
        path = Path(name)
        if any(path.is_relative_to(root) for root in wanted):
            files.append(str(path))
    return sorted(files)
