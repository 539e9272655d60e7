"""HTTP: submits a second over loopback against `angelica dev`, one task a request and 100 a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Figure, Report

GROUP = "http"
CONNECTIONS = 32


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(directory: Path, *, workers: int = 1, mode: str = "dev") -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run `angelica dev` (or `serve`) in a directory of its own until the block ends; yields its port."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    environment = {**os.environ, "ANGELICA_URL": str(directory / "served.db"), "ANGELICA_WORKERS": str(workers)}
    process = subprocess.Popen(
        [sys.executable, "-m", "angelica.cli", mode, "--port", str(port)],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), 0.2):
                    break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"angelica {mode} did not come up") from None
                time.sleep(0.05)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


async def measure(report: Report, directory: Path, requests: int = 6_000) -> None:
    """Measure single and batch submits with keep-alive connections."""
    one = json.dumps({"name": "angelica.hello", "kwargs": {"who": "bench"}, "queue": "parked"}).encode()
    batch = json.dumps({"tasks": [json.loads(one)] * 100}).encode()
    with served(directory / "http") as (port, _):
        await _load(port, "/tasks", one, 500)
        rate = await _load(port, "/tasks", one, requests)
        report.add(Figure(GROUP, f"POST /tasks, {CONNECTIONS} connections", rate, "req/s"))
        rate = await _load(port, "/tasks/batch", batch, 300)
        report.add(Figure(GROUP, "POST /tasks/batch, 100 a request", rate * 100, "tasks/s"))


async def _load(port: int, path: str, body: bytes, requests: int) -> float:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()
    left = [requests]

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left[0] > 0:
            left[0] -= 1
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 201 " not in answer.split(b"\r\n", 1)[0]:
                raise RuntimeError(answer.decode())
            length = next(
                int(line.split(b":")[1]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*[connection() for _ in range(CONNECTIONS)])
    return requests / (time.perf_counter() - began)
