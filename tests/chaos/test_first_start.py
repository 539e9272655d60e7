"""A first start that is killed while it makes the file leaves one that later starts can use."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.files import APPLICATION_ID

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def killed_in_its_first_commit(path: Path) -> None:
    """Leave what a kill between the write of the first page and the end of its journal leaves."""
    page = bytearray(4096)
    page[:16] = b"SQLite format 3\0"
    page[68:72] = APPLICATION_ID.to_bytes(4, "big")
    path.write_bytes(page)
    # No record, and a file that was of 0 pages: rolling back means making it empty again.
    header = JOURNAL_MAGIC + struct.pack(">5I", 0, 0, 0, 512, 4096)
    path.with_name(path.name + "-journal").write_bytes(header.ljust(512, b"\0"))


async def open_and_close(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open()
    await storage.close()


def test_a_file_whose_first_commit_was_killed_can_be_opened_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    killed_in_its_first_commit(path)
    for _ in range(3):
        asyncio.run(open_and_close(path))
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")
