"""The file is private, and is refused where it would not be safe."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from angelica.errors import SchemaMismatch, StorageUnavailable
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.files import RunDirectory, check_version, file_system, prepare_file, refuse_network
from tests.storage.world import World, new


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.0"])
def test_a_sqlite_that_can_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(StorageUnavailable, match=r"3\.51\.3 or newer"):
        check_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0"])
def test_a_sqlite_that_has_the_repair_is_taken(version: str) -> None:
    check_version(version)


def test_all_files_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        storage = SqliteStorage(tmp_path / "made" / "deep" / "angelica.db")
        with World(storage, None) as world:  # type: ignore[arg-type]
            now = world.run(storage.time())
            world.run(storage.enqueue_many([new("a")], now=now))
            files = [file for file in (tmp_path / "made" / "deep").rglob("*") if file.is_file()]
            assert {file.name for file in files} >= {"angelica.db", "angelica.db-wal", "angelica.db-shm", "writer.lock"}
            assert {mode(file) for file in files} == {0o600}
            assert mode(storage.run_directory) == 0o700
            assert mode(tmp_path / "made") == mode(tmp_path / "made" / "deep") == 0o700
    finally:
        os.umask(old)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StorageUnavailable, match="symbolic link"):
        prepare_file(tmp_path / "link")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        prepare_file(tmp_path)


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StorageUnavailable, match=f"belongs to user {owner}"):
        prepare_file(tmp_path / "x")


def test_a_run_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x-run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageUnavailable, match="must be a directory"):
        RunDirectory(tmp_path / "x")


def test_a_file_of_something_else_is_left_as_it_is(path: Path) -> None:
    text = b"name,amount\n" * 20
    path.write_bytes(text)
    with pytest.raises(SchemaMismatch, match="not a SQLite file"):
        prepare_file(path)
    assert path.read_bytes() == text


def test_a_sqlite_file_of_another_program_is_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("create table notes (text)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program"):
        prepare_file(path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


def mounts(tmp_path: Path, kind: str) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        f"30 21 0:40 / {tmp_path} rw,relatime shared:1 - {kind} server:/share rw\n"
    )
    return table


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(StorageUnavailable, match=f"network file system \\({kind}\\)"):
        refuse_network(tmp_path, mounts(tmp_path, kind))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "overlay", "tmpfs"])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    table = mounts(tmp_path, kind)
    refuse_network(tmp_path, table)
    assert file_system(tmp_path, table) == kind


def test_a_system_that_does_not_say_is_believed(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "nothing") == ""
