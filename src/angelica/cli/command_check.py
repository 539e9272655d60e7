"""What `doctor` looks at where commands are allowed: whether they can run here, and what bounds them."""

from __future__ import annotations

from typing import Final

from angelica.cli.finding import Finding
from angelica.runtime.commands.checks import problems
from angelica.runtime.commands.helper_process import RunnerFailed
from angelica.runtime.commands.runner import CommandRunner
from angelica.settings import Settings

_HOW: Final = "docs/how-to/commands.md says what a command needs"
_WEAK: Final = frozenset({"watchdog", "affinity", "rlimit", "process tree"})


async def look_at_commands(settings: Settings) -> list[Finding]:
    """Return a finding for all that is allowed, one for what bounds it, and one for each problem."""
    allowed = settings.commands
    if not allowed:
        return [Finding("commands", "ok", "off: the configuration file has none")]
    wrong = [Finding("command", "red", problem, _HOW) for problem in problems(allowed)]
    names = Finding("commands", "ok", f"{', '.join(allowed.commands)} (from {settings.origin('commands')})")
    return [names, *wrong, await _limits()]


async def _limits() -> Finding:
    runner = CommandRunner()
    try:
        facts = await runner.start()
    except RunnerFailed as error:
        return Finding("command limits", "red", str(error), _HOW)
    finally:
        await runner.close()
    means = {name: str(how) for name, how in facts["means"].items()}
    found = ", ".join(f"{name} by {how}" for name, how in means.items())
    notes = "; ".join(map(str, facts.get("notes", ())))
    weak = any(how in _WEAK for how in means.values())
    return Finding(
        "command limits", "warn" if weak else "ok", f"{found}{f' ({notes})' if notes else ''}", "" if not weak else _HOW
    )
