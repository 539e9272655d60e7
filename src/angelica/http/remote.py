"""A connection to a remote server, for the command line: one request, one reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2

from angelica.errors import AngelicaError


class RemoteProblem(AngelicaError):
    """The server refused (`status` is HTTP's) or could not be reached (`status` 0); `hint` says what to do."""

    def __init__(self, status: int, code: str, detail: str, hint: str = "") -> None:
        self.status = status
        self.code = code
        self.hint = hint
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes


class Connection(Protocol):
    """Carries requests to an API, wherever it runs. `name` says where, for messages."""

    @property
    def name(self) -> str: ...

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        """Send one request with a JSON body; raises `RemoteProblem` if there is no answer in `timeout` seconds."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class HttpConnection:
    """A connection over the network. `url` is the server's address, `token` its bearer token."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = (url if "://" in url else f"http://{url}").rstrip("/")
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        try:
            self._http = httpx2.AsyncClient(base_url=self._url, headers=headers, follow_redirects=False)
        except (httpx2.InvalidURL, UnicodeEncodeError) as error:
            raise RemoteProblem(400, "bad-url", f"{url!r} is no address of a server: {error}") from None

    @property
    def name(self) -> str:
        return self._url

    async def close(self) -> None:
        await self._http.aclose()

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Reply:
        parts: dict[str, Any] = {"params": dict(query)} if query else {}
        if body is not None:
            parts |= {"content": body, "headers": {"content-type": "application/json"}}
        try:
            answer = await self._http.request(method, path, timeout=timeout, **parts)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            hint = "http://127.0.0.1:8765, for example"
            raise RemoteProblem(400, "bad-url", f"{self._url} is no address of a server", hint) from None
        except httpx2.TimeoutException:
            raise RemoteProblem(0, "no-answer", f"{self._url} did not answer in {timeout:g} s") from None
        except httpx2.TransportError as error:
            detail = f"cannot reach {self._url}: {str(error) or type(error).__name__}"
            raise RemoteProblem(0, "unreachable", detail, "is the server up? `angelica dev` starts one") from None
        return Reply(answer.status_code, answer.content)
