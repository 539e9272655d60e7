"""A task that always kills its worker ends as poison, and those that the worker held beside it do not pay for it."""

from __future__ import annotations

from bench.chaos.checker import Fault, Verdict
from bench.chaos.run import Run


def crash_loop(run: Run, *, neighbours: int = 100) -> Verdict:
    """One killer between quick tasks, one at a time: when it kills, others are claimed ahead and have not begun."""
    run.serve(concurrency=1)
    client = run.client()
    client.submit_many("chaos.nap", [1] * neighbours, "before")
    client.submit("chaos.killer", 20, "killer")
    client.submit_many("chaos.nap", [1] * neighbours, "behind")
    run.until_rest()
    verdict = run.verdict()
    row = run.store.rows()["killer"]
    # No kill of ours: the deaths that the checker finds no excuse for must be the killer's own.
    verdict.faults = [fault for fault in verdict.faults if (fault.law, fault.task_id) != ("no excuse", "killer")]
    if (row.state, row.reason, row.crashes) != ("failed", "poison", 4):
        verdict.faults.append(Fault("poison", "killer", f"ended {row.state} ({row.reason}), {row.crashes} crashes"))
    paid = run.store.scalar("select count(*) from tasks where crashes > 0 and id <> 'killer'")
    if paid:
        verdict.faults.append(Fault("poison", "", f"{paid} neighbours paid for it"))
    spared = run.store.scalar("select count(*) from attempts where outcome = 'released' and task_id <> 'killer'")
    verdict.figures["neighbours handed back"] = spared
    run.say(f"the killer had 4 attempts; {spared} neighbours were held beside it and were handed back")
    if not spared:
        verdict.faults.append(Fault("poison", "", "nothing was claimed ahead, so nobody could be blamed"))
    return verdict
