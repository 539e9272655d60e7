"""APP: finding the engine in the user's code, or making one from the settings alone."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from angelica.cli.failure import CliError
from angelica.contrib import builtin
from angelica.engine import Engine
from angelica.settings import Settings

DEFAULT_ATTRIBUTE: Final = "engine"


class AppError(CliError):
    """The app cannot be loaded; `fatal` says that only another command line can help."""

    def __init__(self, message: str, *, hint: str, fatal: bool = False) -> None:
        self.fatal = fatal
        super().__init__(message, hint=hint)


def engine_of(app: str | None, url: str | None = None, *, dev: bool = False, **overrides: Any) -> Engine:
    """Return the engine of APP (`MODULE:ATTR`) with the built-in functions; without APP an engine of built-ins only.

    What the command line says (`url`, `overrides`) wins over what the code says. Raises `AppError`.
    """
    given = {key: value for key, value in {"url": url, **overrides}.items() if value is not None}
    if app is None:
        engine = Engine(**given)
    else:
        engine = load(app)
        _override(engine, given)
    builtin.register(engine, dev=dev)
    return engine


def check_form(app: str) -> tuple[str, str]:
    """Return module and attribute of `MODULE:ATTR`; a missing attribute is `engine`."""
    module, _, attribute = app.partition(":")
    if app.endswith(".py") or "/" in module:
        guess = module.removesuffix(".py").strip("./").replace("/", ".")
        raise AppError(f"{app!r} is a file", hint=f"name the module: {guess}:{attribute or 'engine'}", fatal=True)
    if not all(part.isidentifier() for part in module.split(".")):
        raise AppError(f"{app!r} is no MODULE:ATTR", hint="app:engine, for example", fatal=True)
    return module, attribute or DEFAULT_ATTRIBUTE


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


def settings_of(url: str | None = None, **given: Any) -> Settings:
    """Return the settings as they are without the app's code; what the command line says comes first."""
    return Settings.load(source="command line", url=url, **given)
