"""A worker process for a benchmark: `python -m bench.worker URL`; prints `open`, reads a line, prints `ready`."""

from __future__ import annotations

import asyncio
import signal
import sys

from bench.app import make_engine


async def main(url: str) -> None:
    """Run a worker until SIGTERM; it begins when a line comes, so that several can begin together."""
    engine = make_engine(url)
    await engine.open()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    stop, hasten = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await engine.run_worker(stop, hasten, lambda: print("ready", flush=True))


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - a second argument names the file for a profile
        import cProfile

        profile = cProfile.Profile()
        profile.runcall(asyncio.run, main(sys.argv[1]))
        profile.dump_stats(sys.argv[2])
    else:
        asyncio.run(main(sys.argv[1]))
