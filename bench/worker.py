"""One worker process for a benchmark: `python -m bench.worker URL`; prints `ready`, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from bench.app import make_engine


async def main(url: str) -> None:
    engine = make_engine(url)
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
