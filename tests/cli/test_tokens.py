"""The token file: made once, private, only a hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelica.errors import InvalidValue
from angelica.http.tokens import ADMIN, TokenFile


def test_made_once(tmp_path: Path) -> None:
    file = TokenFile.beside(tmp_path / "angelica.db")
    assert file.path == tmp_path / "angelica.db.token"
    token = file.ensure()
    assert token is not None
    assert len(token) >= 43 + len("angelica_")
    assert file.ensure() is None
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert token not in file.path.read_text()
    assert list(tmp_path.iterdir()) == [file.path]
    assert file.check(token) == ADMIN
    assert TokenFile(file.path).check(token) == ADMIN


@pytest.mark.parametrize("wrong", ["", "angelica_", "\ud800", "é" * 50])
def test_others_are_nobody(tmp_path: Path, wrong: str) -> None:
    file = TokenFile(tmp_path / "t")
    assert file.check(wrong) is None
    file.ensure()
    assert file.check(wrong) is None


def test_two_differ_and_a_new_file_counts_at_once(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "t")
    first = file.ensure()
    assert first is not None
    file.path.unlink()
    assert file.check(first) is None
    second = file.ensure()
    assert second is not None
    assert second != first
    assert file.check(first) is None
    assert file.check(second) == ADMIN


def test_a_damaged_file_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("{}")
    assert TokenFile(path).check("") is None


def test_a_chosen_one_must_be_long(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue):
        TokenFile(tmp_path / "t").ensure("short")


def test_another_chosen_one_is_refused_not_ignored(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "t")
    assert file.ensure("x" * 40) == "x" * 40
    assert file.ensure("x" * 40) is None
    with pytest.raises(InvalidValue, match="delete"):
        file.ensure("y" * 40)
    assert file.check("x" * 40) == ADMIN


def test_serve_refuses_another_token_before_it_starts_anything(run, tmp_path: Path) -> None:
    TokenFile.beside(tmp_path / "angelica.db").ensure("x" * 40)
    done = run("serve", "--port", "0", ANGELICA_TOKEN="y" * 40)
    assert done.code == 2
    assert "not the one" in done.err
    assert "angelica.db.token" in done.err
    assert not (tmp_path / "angelica.db").exists()
