"""`angelica worker`: one worker process."""

from __future__ import annotations

import click

from angelica.cli.state import common, given


@click.command("worker")
@click.argument("module", required=False, metavar="[APP]")
@click.option("-Q", "--queues", metavar="A,B", help="Serve these queues only.")
@click.option("-c", "--concurrency", type=click.IntRange(1, 100_000), metavar="N", help="At most N tasks at a time.")
@click.option("-l", "--label", "labels", multiple=True, metavar="K=V", help="What it has, for `requires`; repeatable.")
@click.option("--select", multiple=True, metavar="K=V", help="Take only tasks with this label; repeatable.")
@click.option("--no-scheduler", is_flag=True, help="Leave it to other workers to fire schedules.")
@click.option("--dev", is_flag=True, hidden=True)
@click.option("--allow-commands", is_flag=True, hidden=True)
@common
def command(
    *,
    module: str | None,
    queues: str | None,
    concurrency: int | None,
    labels: tuple[str, ...],
    select: tuple[str, ...],
    no_scheduler: bool,
    dev: bool,
    allow_commands: bool,
) -> int:
    """Run one worker process: claim tasks and execute them until told to stop.

    APP is MODULE:ATTR; without it the built-in functions only. The first SIGTERM or Ctrl-C stops in order, the
    second hands running tasks back at once.
    """
    from angelica.cli.process import run_process
    from angelica.cli.work import work

    options = given()
    options.app = module or options.app
    asked = {
        "queues": queues,
        "slots": concurrency,
        "labels": ",".join(labels) or None,
        "select": ",".join(select) or None,
        "scheduler": False if no_scheduler else None,
    }
    return run_process(lambda link: work(options, link, asked, dev=dev, allow_commands=dev and allow_commands), options)
