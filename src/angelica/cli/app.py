"""APP: finding the engine in the user's code, or making one from the settings alone."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from angelica.allowed import open_list
from angelica.cli.spec import AppError, check_form
from angelica.contrib import builtin
from angelica.engine import Engine
from angelica.settings import Settings


def engine_of(
    app: str | None, url: str | None = None, *, dev: bool = False, allow_commands: bool = False, **overrides: Any
) -> Engine:
    """Return the engine of APP (`MODULE:ATTR`) with the built-in functions; without APP an engine of built-ins only.

    What the command line says (`url`, `overrides`) wins over what the code says. With `allow_commands`, tasks may run
    any program of PATH. Raises `AppError`.
    """
    given = {key: value for key, value in {"url": url, **overrides}.items() if value is not None}
    if app is None:
        engine = Engine(**given)
    else:
        engine = load(app)
        engine.loaded_as = ":".join(check_form(app))
        _override(engine, given)
    if allow_commands:
        allow_all(engine)
    builtin.register(engine, dev=dev)
    return engine


def allow_all(engine: Engine) -> None:
    """Let tasks run any program of PATH."""
    settings = engine.settings
    engine.settings = replace(settings, commands=open_list(settings.commands))


def load(app: str) -> Engine:
    """Import APP and return its engine; the current directory is searched first."""
    module_name, attribute = check_form(app)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            hint = f"is {module_name.partition('.')[0]}.py in {here}?"
            raise AppError(f"there is no module {error.name!r}", hint=hint) from None
        raise
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Engine):
        return found
    engines = [name for name, value in vars(module).items() if isinstance(value, Engine)]
    hint = f"did you mean {module_name}:{engines[0]}?" if engines else "make one there: engine = Engine()"
    what = "is no Engine" if found is not None else "does not exist"
    raise AppError(f"{module_name}:{attribute} {what}", hint=hint)


def _override(engine: Engine, given: dict[str, Any]) -> None:
    """Let the command line win over the keywords of the code; nothing has read these settings yet."""
    if not given:
        return
    parsed = Settings.load(source="command line", environ={}, directory=os.devnull, **given)
    values = {key: getattr(parsed, key) for key in given}
    origins = {**engine.settings.origins, **dict.fromkeys(given, "command line")}
    engine.settings = replace(engine.settings, **values, origins=MappingProxyType(origins))
