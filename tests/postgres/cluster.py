"""A PostgreSQL server of the tests' own: made in a moment, with durability as it comes, and killed at will."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.postgres import binaries, leftovers
from tests.postgres.server import Server

# Not above: the system gives those to who connects, and a client that retries could take a stopped server's port.
PORTS = range(20_000, 32_000)
CHANCE = random.SystemRandom()  # Hypothesis seeds the usual one, in each process of a run the same
PATIENCE = 30.0
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
shared_buffers = 128MB
max_connections = 200
track_commit_timestamp = off
# What a killed server leaves behind then lies in its directory, not in /dev/shm.
dynamic_shared_memory_type = mmap
# As far from everybody's own as can be: nothing may depend on it.
timezone = 'Asia/Kathmandu'
log_timezone = 'UTC'
"""
ACCESS = """
local all all trust
host all all 127.0.0.1/32 trust
"""


class Cluster(Server):
    """One server in `directory`, which is made, with its binaries from `binaries.find()`. fsync is on, as it comes."""

    crashable = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.port = free_port()
        self._binaries = binaries.find()
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")

    @property
    def socket_url(self) -> str:
        """The same server over its Unix socket."""
        return f"postgresql://postgres@/postgres?host={self.directory}&port={self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and return when it answers; made at the first start."""
        if not self.data.exists():
            self._make()
        deadline = time.monotonic() + PATIENCE
        while (said := self._started()) is not None:
            # The processes of a killed server go when they notice, and hold its memory till then.
            if "still in use" not in said or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{said[-2000:]}")
            time.sleep(0.1)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends sessions and writes a checkpoint, `immediate` is a crash that all processes hear of."""
        if self.running:
            self._signal(SIGNALS[mode])

    def kill_postmaster(self) -> None:
        """Kill the server's first process as the system would: nothing is told, nothing written."""
        self._signal(signal.SIGKILL)

    def restart(self, mode: str = "fast") -> None:
        """Stop it where it runs, start it again on the same port."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Leave nothing of it."""
        self.stop("immediate")
        leftovers.remove(self.directory)

    def let_go(self) -> None:
        """Leave it running: whoever has its directory ends it (`leftovers`)."""
        assert self._process is not None, "not started"
        self._process.returncode = 0  # or Popen would warn that it was never waited for
        self._process = None

    def _make(self) -> None:
        self.directory.mkdir(mode=0o700)
        binaries.own(self.directory)
        self._binaries = binaries.reachable(self._binaries, self.directory.parent)
        # Order as a dictionary has it, not as bytes have: nothing may depend on that either.
        icu = ["--locale-provider=icu", "--icu-locale=en-US"] if self._knows_icu() else []
        encoding = ["--encoding=UTF8", "--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]
        command = [str(self._binaries / "initdb"), "--no-sync", "--auth=trust", "--username=postgres", *encoding, *icu]
        made = subprocess.run(
            [*command, "-D", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            **binaries.as_account(),
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr}{made.stdout}")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS.format(port=self.port, directory=self.directory))
        (self.data / "pg_hba.conf").write_text(ACCESS, "utf-8")

    def _knows_icu(self) -> bool:
        tool = self._binaries / "pg_config"
        asked = subprocess.run([tool, "--configure", "--version"], capture_output=True, text=True, check=False)
        return "--with-icu" in asked.stdout

    def _started(self) -> str | None:
        """Start its first process and wait until it says `ready`; what it logged where it ended instead."""
        with self.log.open("ab") as log:
            before = log.tell()
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for pytest, which stops this one in order
                **binaries.as_account(),
            )
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            lines = leftovers.pid_file(self.data)
            if lines[:1] == [str(self.pid)] and lines[-1].strip() == "ready":
                return None
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        return self.log.read_bytes()[before:].decode("utf-8", "replace")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)
        self._process.wait(PATIENCE)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = CHANCE.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
