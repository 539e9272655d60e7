"""`angelica serve`: closed by default."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import serving

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused, or asks for a token


def status_of(url: str, token: str | None = None) -> int:
    return httpx2.get(url, headers={} if token is None else {"authorization": f"Bearer {token}"}).status_code


@pytest.mark.slow
def test_the_token_is_shown_once_and_stored_as_a_hash(run, tmp_path: Path) -> None:
    with serving(tmp_path, "serve", "-w", "2") as server:
        token = next(line.split()[1] for line in server.out.splitlines() if line.startswith("Token"))
        assert token.startswith("angelica_")
        assert status_of(server.url + "/tasks") == 401
        assert status_of(server.url + "/tasks", "angelica_wrong") == 401
        assert status_of(server.url + "/tasks", token) == 200
        assert status_of(server.url + "/livez") == 200
        assert run("tasks", "list", "--api", server.url).code == 4
        assert run("tasks", "list", "--api", server.url, "--token", token).code == 0
        done = run("enqueue", "angelica.hello", "--wait", "--api", server.url, ANGELICA_TOKEN=token)
        assert (done.code, done.out) == (0, '"hello, world"\n')
        assert run("enqueue", "angelica.fail", "--api", server.url, ANGELICA_TOKEN=token).code == 2
    stored = tmp_path / "angelica.db.token"
    assert stored.stat().st_mode & 0o777 == 0o600
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "stdout":
            assert token.encode() not in path.read_bytes(), path
    with serving(tmp_path, "serve") as server:
        assert "Token" not in server.out
        assert status_of(server.url + "/tasks", token) == 200


@pytest.mark.slow
def test_a_chosen_token_opens_other_addresses(tmp_path: Path) -> None:
    token = "x" * 40
    with serving(tmp_path, "serve", "--host", EVERYWHERE, "--insecure", ANGELICA_TOKEN=token) as server:
        url = server.url.replace(EVERYWHERE, "127.0.0.1")
        assert token not in server.out
        assert status_of(url + "/tasks") == 401
        assert status_of(url + "/tasks", token) == 200
