"""Which form a foreign file has, by its name and what it holds, and its entries."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final

from angelica import strict_json
from angelica.cli.imports.apscheduler import read_apscheduler
from angelica.cli.imports.beat import SETTINGS, read_beat
from angelica.cli.imports.crontab import read_crontab
from angelica.cli.imports.django_beat import read_django_beat
from angelica.cli.imports.found import Found, Unreadable, Wishes
from angelica.errors import AngelicaError

FORMATS: Final = ("crontab", "system-crontab", "celery-beat", "django-celery-beat", "apscheduler")
_SYSTEM: Final = ("/etc/crontab", "/etc/cron.d/")


def read(form: str, text: str, wishes: Wishes, *, now: int) -> list[Found]:
    """Return the entries of a file of one of `FORMATS`; raises `Unreadable`. `now` is microseconds since the epoch."""
    match form:
        case "crontab":
            return read_crontab(text, wishes, system=False, now=now)
        case "system-crontab":
            return read_crontab(text, wishes, system=True, now=now)
        case "celery-beat":
            return read_beat(text, wishes, now=now)
        case "django-celery-beat":
            return read_django_beat(text, wishes, now=now)
        case "apscheduler":
            return read_apscheduler(text, wishes, now=now)
    raise Unreadable(f"{form!r} is no form; known: {', '.join(FORMATS)}")


def guess(name: str, text: str) -> str:
    """Return the form that a file seems to have."""
    if name.startswith(_SYSTEM):
        return "system-crontab"
    if PurePath(name).suffix == ".py" or any(setting in text for setting in SETTINGS):
        return "celery-beat"
    if text.lstrip()[:1] not in "[{" or not text.strip():
        return "crontab"
    try:
        obj: Any = strict_json.loads(text)
    except AngelicaError:
        return "celery-beat"  # a dict of Python, perhaps
    items = obj if isinstance(obj, list) else obj.get("jobs", obj.get("JOBS")) if isinstance(obj, dict) else None
    if not isinstance(items, list):
        return "celery-beat"
    return "django-celery-beat" if any(isinstance(item, dict) and "model" in item for item in items) else "apscheduler"
