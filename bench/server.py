"""A PostgreSQL server of the run's own, for figures and for chaos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres.cluster import Cluster


@contextmanager
def server(directory: Path) -> Iterator[Cluster]:
    """Run a server with durability as it comes (fsync, synchronous commit) until the block ends."""
    cluster = Cluster(directory / "postgres")
    directory.chmod(0o755)  # it runs as another user where we are root
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()
