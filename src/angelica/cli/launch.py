"""The parent of `dev` and `serve`: which children there are, what is shown, and how a dead worker's tasks go back."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from angelica import __version__
from angelica.cli import failure
from angelica.cli.moved import follow
from angelica.cli.spec import check_form, settings_of
from angelica.cli.state import GlobalOptions
from angelica.errors import StoreMoved
from angelica.http.listening import url_of
from angelica.runtime.child import Child, ChildSpec
from angelica.runtime.settle import Death, settle_worker
from angelica.runtime.supervisor import Callbacks, DeadWorker, Notice, Supervisor
from angelica.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start: APP, how many workers, with which options; `bound` is the listening socket."""

    settings: Settings
    options: GlobalOptions
    app: str | None
    bound: socket.socket
    created: bool = False
    dev: bool = False
    allow_commands: bool = False
    proxied: bool = False
    insecure: bool = False
    queues: str | None = None
    concurrency: int | None = None


class Launch:
    """One run of `dev` or `serve`."""

    def __init__(self, plan: Plan, show: Callable[[Plan, dict[str, Any], Sequence[Child]], None]) -> None:
        self._plan = plan
        self._show = show
        self._said: dict[str, str] = {}
        self._moved_to = ""
        self._random = random.Random()  # noqa: S311, TID251 - jitter of restarts; this is a composition root

    def run(self) -> int:
        """Run until a signal; return the exit code."""
        if self._plan.app is not None:
            check_form(self._plan.app)
        code = asyncio.run(self._run())
        if self._moved_to:
            self._plan.bound.close()
            follow(self._moved_to, self._plan.options)
        return code

    async def _run(self) -> int:
        settings = self._plan.settings
        supervisor = Supervisor(
            self._specs(),
            Callbacks(self._notice, self._ready, self._settle),
            grace=settings.grace,
            chance=self._random.random,
            reload=self._plan.dev,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop)
        return await supervisor.run()

    def _specs(self) -> list[ChildSpec]:
        plan = self._plan
        shared = [sys.executable, "-m", "angelica.cli"]
        tail = ["--dev"] * plan.dev + ["--allow-commands"] * plan.allow_commands + ["--quiet"] * plan.options.quiet
        if plan.app is not None:
            tail += ["--", plan.app]
        worker = [*shared, "worker"]
        if plan.queues:
            worker += ["-Q", plan.queues]
        if plan.concurrency:
            worker += ["-c", str(plan.concurrency)]
        descriptor = plan.bound.fileno()
        api = [*shared, "api", "--fd", str(descriptor), "--host", plan.settings.host, "--port", str(plan.settings.port)]
        api += ["--behind-tls-proxy"] * plan.proxied + ["--insecure"] * plan.insecure
        # The token is for the API process; what a worker runs has no business with it.
        hidden = {"ANGELICA_TOKEN": ""}
        # In the environment, not among the arguments, which every user of the machine can read.
        store = {} if plan.options.url is None else {"ANGELICA_URL": plan.options.url}
        return [
            ChildSpec("api", "api", (*api, *tail), pass_fds=(descriptor,), env=store),
            *[
                ChildSpec(f"worker-{n}", "worker", (*worker, *tail), env={**store, **hidden})
                for n in range(1, plan.settings.workers + 1)
            ],
        ]

    def _ready(self, children: Sequence[Child]) -> None:
        facts = next((child.facts for child in children if child.spec.kind == "api"), {})
        self._show(self._plan, {**facts, "url": url_of(self._plan.bound)}, children)

    def _notice(self, notice: Notice) -> None:
        options = self._plan.options
        if notice.failure is None:
            level = "ready" if notice.kind == "ready" else "told"
            if level == "told" and not options.quiet:
                click.echo(f"{failure.paint('angelica:', 33, options)} {notice.text}", err=True)
            if notice.kind == "ready":
                self._said.pop(notice.child, None)
            return
        self._moved_to = notice.failure.moved_to or self._moved_to
        if self._said.get(notice.child) == notice.text:  # the same as at the last try: once is enough
            return
        self._said[notice.child] = notice.text
        if notice.text in (text for name, text in self._said.items() if name != notice.child):
            return
        sys.stderr.write(notice.failure.detail)
        again = "it is tried again, less and less often; correct the code and save it"
        failure.print_failure(notice.failure.error, notice.failure.hint or again, options)
        if notice.failure.hint and self._plan.dev and not options.quiet:  # or it would seem to hang
            click.echo(f"{failure.paint('angelica:', 33, options)} {again}", err=True)

    async def _settle(self, dead: DeadWorker) -> None:
        """Hand back what a dead worker held, at once."""
        from angelica.stores import make_storage

        settings = settings_of(dead.store or self._plan.options.url)
        if settings.in_memory:
            return
        storage = make_storage(settings, chance=self._random.random, migrate=False)
        try:
            await storage.open()
        except StoreMoved:  # what it held went along, with its lease
            return
        try:
            done = await settle_worker(
                storage,
                dead.worker,
                death=Death.of_returncode(dead.pid, dead.returncode),
                start_file=dead.start_file,
                now=await storage.time(),
                chance=self._random.random,
            )
        finally:
            await storage.close()
        if done.ends and not self._plan.options.quiet:
            text = f"{dead.worker}: {done.crashed} task(s) counted as crashed, {done.released} handed back"
            click.echo(f"{failure.paint('angelica:', 33, self._plan.options)} {text}", err=True)


def headline(plan: Plan, children: Sequence[Child]) -> str:
    """Return the first line that is shown, e.g. `angelica 0.1.0  SQLite angelica.db  1 worker, 1036 slots`."""
    workers = [child for child in children if child.spec.kind == "worker"]
    slots = sum(int(child.facts.get("slots", 0)) for child in workers)
    path = plan.settings.sqlite_path
    store = f"SQLite {path}" if path is not None else plan.settings.shown_url
    store += " (created)" if plan.created else ""
    plural = "" if len(workers) == 1 else "s"
    return f"angelica {__version__}  {store}  {len(workers)} worker{plural}, {slots} slots"
