"""What the command line says of app and settings, read without importing the engine: the supervisor stays small."""

from __future__ import annotations

from typing import Any, Final

from angelica.cli.failure import CliError
from angelica.settings import Settings

DEFAULT_ATTRIBUTE: Final = "engine"


class AppError(CliError):
    """The app cannot be loaded; `fatal` says that only another command line can help."""

    def __init__(self, message: str, *, hint: str, fatal: bool = False) -> None:
        self.fatal = fatal
        super().__init__(message, hint=hint)


def check_form(app: str) -> tuple[str, str]:
    """Return module and attribute of `MODULE:ATTR`; a missing attribute is `engine`."""
    module, _, attribute = app.partition(":")
    if app.endswith(".py") or "/" in module:
        guess = module.removesuffix(".py").strip("./").replace("/", ".")
        raise AppError(f"{app!r} is a file", hint=f"name the module: {guess}:{attribute or 'engine'}", fatal=True)
    if not all(part.isidentifier() for part in module.split(".")):
        raise AppError(f"{app!r} is no MODULE:ATTR", hint="app:engine, for example", fatal=True)
    return module, attribute or DEFAULT_ATTRIBUTE


def settings_of(url: str | None = None, **given: Any) -> Settings:
    """Return the settings as they are without the app's code; what the command line says comes first."""
    return Settings.load(source="command line", url=url, **given)
