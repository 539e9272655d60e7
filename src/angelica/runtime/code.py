"""The code: what a worker calls for a task's function, found once and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, Final, Protocol

from angelica.runtime.functions import Function

log: Final = logging.getLogger("angelica.worker")

Known = tuple[Function[..., Any], Callable[..., Any]]


class Code(Protocol):
    """The functions that this process has code for."""

    def get(self, name: str) -> Function[..., Any] | None: ...

    def names(self) -> Iterable[str]: ...

    def call_of(self, function: Function[..., Any]) -> Callable[..., Any]:
        """Return the function's handler inside its middleware and run hooks."""
        ...


class Calls:
    """Each function with its call, by name; `known` are those that were asked for before.

    `inside` says that this is a child process, where functions of the `process` executor run.
    """

    def __init__(self, code: Code, kinds: Collection[str], *, inside: bool = False) -> None:
        self._inside = inside
        self.known: dict[str, Known] = {}
        self._code = code
        self._kinds = kinds

    def learn(self, name: str) -> Known | None:
        """Return a function and its call, None if there is no code or no executor for it here."""
        function = self._code.get(name)
        if function is None or function.executor not in self._kinds:
            return None
        if function.executor == "process" and not self._inside:  # wrapped where it runs: in the child
            self.known[name] = elsewhere = (function, function.handler)
            return elsewhere
        try:
            call = self._code.call_of(function)
        except Exception as error:
            log.exception("the middleware of %s failed; its tasks fail with it", name)
            call = partial(_fail, error)
        self.known[name] = known = (function, call)
        return known


def _fail(error: Exception, *_args: object, **_kwargs: object) -> None:
    """Stand in for a handler that could not be wrapped in its middleware."""
    raise error


class _Nobody:
    """Stands in for the function of a task that this worker will not run."""

    executor = "async"
    concurrency = None


NOBODY: Final[Any] = _Nobody()
