"""The target: what commands work on, a server or the local store, through the same API either way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from angelica.cli.failure import UNAVAILABLE, CliError
from angelica.cli.state import GlobalOptions
from angelica.http.remote import Connection, RemoteProblem

TIMEOUT: Final = 15.0
LONGEST_WAIT: Final = 60.0
TOKEN_FILE: Final = Path(".angelica/token")
_NO_CONTENT: Final = 204
_BAD: Final = 400


class Target:
    """The API's verbs as coroutines over JSON values; each refusal is a `RemoteProblem`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def name(self) -> str:
        """Where it is: the server's address, or the store's."""
        return self._connection.name

    async def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store one task; return it as it stands."""
        return dict(await self._ask("POST", "/tasks", body=body))

    async def get(self, task_id: str, *, wait: float = 0.0, fields: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return a task; wait up to `wait` seconds (at most 60) for its end."""
        query = {"fields": ",".join(fields)} if fields else {}
        seconds = min(wait, LONGEST_WAIT)
        if seconds > 0:
            query["wait"] = f"{seconds:.3f}"
        return dict(await self._ask("GET", f"/tasks/{_part(task_id)}", query=query, timeout=TIMEOUT + seconds))

    async def find(
        self, where: Mapping[str, str], *, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return one page and the cursor of the next."""
        query = {**where, "limit": str(limit), **({"cursor": cursor} if cursor else {})}
        page = await self._ask("GET", "/tasks", query=query)
        return page["items"], page.get("next_cursor")

    async def cancel(self, task_id: str, *, reason: str = "") -> dict[str, Any]:
        """Cancel a task; return it."""
        body = {"reason": reason} if reason else {}
        return dict(await self._ask("POST", f"/tasks/{_part(task_id)}/cancel", body=body))

    async def retry(self, task_id: str, *, delay: str = "") -> dict[str, Any]:
        """Run an ended task again; return the new one."""
        body = {"delay": delay} if delay else {}
        return dict(await self._ask("POST", f"/tasks/{_part(task_id)}/retry", body=body))

    async def why(self, task_id: str) -> dict[str, Any] | None:
        """Return why a task waits, None if it does not."""
        said = await self._ask("GET", f"/tasks/{_part(task_id)}/why")
        return None if said is None else dict(said)

    async def logs(self, task_id: str, *, after: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Return lines after the cursor of a line."""
        query = {"limit": str(limit), **({"after": after} if after else {})}
        return list((await self._ask("GET", f"/tasks/{_part(task_id)}/logs", query=query))["items"])

    async def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """Return the attempts of a task."""
        return list((await self._ask("GET", f"/tasks/{_part(task_id)}/attempts"))["items"])

    async def functions(self) -> list[dict[str, Any]]:
        """Return the registered functions."""
        return list((await self._ask("GET", "/functions"))["items"])

    async def function(self, name: str) -> dict[str, Any]:
        """Return one function with the schema of its arguments."""
        return dict(await self._ask("GET", f"/functions/{_part(name)}"))

    async def workers(self) -> list[dict[str, Any]]:
        """Return the workers."""
        return list((await self._ask("GET", "/workers"))["items"])

    async def status(self) -> dict[str, Any]:
        """Return the state of the engine and its counts."""
        return dict(await self._ask("GET", "/api/status"))

    async def ask(
        self, method: str, *path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Send any request of the API; `path` is given part by part. Returns the answer, None if it has no body."""
        return await self._ask(method, "/" + "/".join(map(_part, path)), query=query, body=body)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        reply = await self._connection.request(method, path, query=query or {}, body=data, timeout=timeout)
        if reply.status == _NO_CONTENT:
            return None
        try:
            said = json.loads(reply.body)
        except ValueError:
            detail = f"{self.name} answered {reply.status}, but not in JSON"
            raise RemoteProblem(502, "not-angelica", detail, "does something else listen there?") from None
        if reply.status >= _BAD:
            raise _problem(reply.status, said if isinstance(said, dict) else {})
        return said


def _problem(status: int, body: Mapping[str, Any]) -> RemoteProblem:
    code = str(body.get("error") or "error")
    detail = str(body.get("detail") or body.get("title") or f"the server answered {status}")
    hints = {401: "give its token: --token or ANGELICA_TOKEN", 421: "add the name to allowed_hosts"}
    if code in ("commands-disabled", "command-not-allowed"):
        hints[status] = (
            "[commands.…] of the server's angelica.toml says which may run; "
            "`angelica dev --allow-commands` lets all: then --api http://127.0.0.1:8765"
        )
    if code == "unknown-function":
        hints[status] = "`angelica functions list` shows what is registered; a worker registers its app's"
    return RemoteProblem(status, code, detail, hints.get(status, ""))


def _part(text: str) -> str:
    """Escape one part of a path; a name of dots alone must not climb."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


@asynccontextmanager
async def opened(options: GlobalOptions, *, create: bool = False) -> AsyncIterator[Target]:
    """Open what the options name: the server of `--api`, else the local store; `create` lets the store be new."""
    if options.api and options.url:
        raise CliError("--api and --url exclude each other", hint="--api is a server, --url is a store")
    connection = await (_remote(options) if options.api else _local(options, create=create))
    try:
        yield Target(connection)
    finally:
        await connection.close()


async def _remote(options: GlobalOptions) -> Connection:
    from angelica.http.remote import HttpConnection

    token = options.token
    if token is None and TOKEN_FILE.is_file():
        token = TOKEN_FILE.read_text().strip()
    return HttpConnection(str(options.api), token)


async def _local(options: GlobalOptions, *, create: bool) -> Connection:
    from angelica.cli.app import engine_of
    from angelica.cli.local import LocalConnection
    from angelica.cli.store import require

    engine = engine_of(options.app, options.url)
    if engine.settings.in_memory:
        hint = "a memory store ends with its process; use a file or a database, or --api for a server"
        raise CliError(f"{engine.settings.url} cannot be reached from here", hint=hint, exit_code=UNAVAILABLE)
    if not create:
        await require(engine.settings, "start `angelica dev` here, or name the store: --url, or a server: --api")
    return await LocalConnection.open(engine)
