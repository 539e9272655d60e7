"""Loading: how a child process comes to the application that its worker has, and what the worker tells it for that."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from angelica.errors import NotLoadable
from angelica.runtime.functions import Function
from angelica.runtime.warm.wire import Source


def sources_of(engine: object, functions: Iterable[Function[..., Any]], app: str | None) -> tuple[Source, ...]:
    """Return what a child must import to have the `functions` of this `engine`; the first source leads to the engine.

    `app` (`MODULE:ATTR`), where the engine was loaded by that name, leads to all of its functions. Otherwise the
    module that holds the engine is imported, and those of the functions. Raises `NotLoadable` and says what to do.
    """
    if app is not None:
        module, _, attribute = app.partition(":")
        return (Source(module, attribute),)
    homes = list(dict.fromkeys(function.handler.__module__ for function in functions))
    if not homes:
        return ()
    for name in [*homes, *sys.modules]:
        held = _name_of(engine, sys.modules.get(name))
        if held is not None:
            return (_source(name, held), *[_source(home) for home in homes if home != name])
    hint = "give it a name at the top level of a module, or start the worker with `angelica worker MODULE:ATTR`"
    raise NotLoadable("no child process can find the engine, which stands in no module under a name", hint=hint)


def _name_of(engine: object, module: ModuleType | None) -> str | None:
    """Return the name under which a module holds the engine."""
    held = list(getattr(module, "__dict__", {}).items())
    return next((key for key, value in held if value is engine), None)


def _source(name: str, attribute: str = "") -> Source:
    if name != "__main__":
        return Source(name, attribute)
    main = sys.modules[name]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return Source(spec.name, attribute)
    path = getattr(main, "__file__", None)
    if path is None:
        raise NotLoadable("no child process can find what was typed in", hint="put it into a file")
    return Source(Path(path).stem, attribute, str(Path(path).resolve()))


def load(sources: Iterable[Source]) -> Any:
    """Import all sources in order and return what the first one leads to; None if nothing stands there.

    Raises what the imports raise.
    """
    found: list[Any] = []
    for source in sources:
        module = importlib.import_module(source.module) if source.path is None else _script(source.module, source.path)
        found.append(_resolved(module, source.attribute) if source.attribute else None)
    return found[0] if found else None


def _script(name: str, path: str) -> ModuleType:
    """Import the file of a script under a name of its own, so that what stands under `__main__` is not run."""
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _resolved(module: ModuleType, path: str) -> Any:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
