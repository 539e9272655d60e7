"""Access: who may call, in the three ways in which the API is served."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request

from angelica.http import guards
from angelica.http.host import Principal, Tokens
from angelica.http.problems import HttpProblem

Mode = Literal["token", "dev", "mounted", "trusted"]
AuthCallable = Callable[[Request], Any | Awaitable[Any]]

LOCAL: Final = Principal("local")
HOST: Final = Principal("host")


@dataclass(frozen=True, slots=True)
class Access:
    """How callers are known.

    `token`: a bearer token always. `dev`: none, but only from loopback under an allowed Host. `mounted`: what the
    `auth` callable says; without one a token, unless the peer is loopback, Host is allowed and nothing forwarded it.
    `trusted`: the host application has let the caller in already.
    """

    mode: Mode
    allowed: frozenset[str]
    tokens: Tokens | None = None
    auth: AuthCallable | None = None

    def check_host(self, scope: Mapping[str, Any], headers: guards.Headers) -> None:
        """Refuse a foreign Host (421) where the caller is known by nothing but where it comes from."""
        local = self.mode == "token" and guards.is_loopback(scope) and not guards.is_forwarded(headers)
        if (local or self.mode == "dev") and not guards.is_allowed_host(headers, self.allowed):
            raise HttpProblem("wrong-host", "this name is not in allowed_hosts")

    async def principal(self, scope: dict[str, Any], headers: guards.Headers) -> Principal:
        """Return who calls, or raise 401 `unauthorized`."""
        if self.mode == "trusted":
            return HOST
        if self.auth is not None:
            return await _ask(self.auth, scope)
        token = _bearer(headers)
        if token is not None and self.mode != "dev":
            known = None if self.tokens is None else self.tokens.check(token)
            if known is None:
                raise _unauthorized('error="invalid_token"')
            return known
        if self.mode == "dev" and guards.is_loopback(scope):
            return LOCAL
        if self.mode == "mounted" and (
            guards.is_loopback(scope)
            and not guards.is_forwarded(headers)
            and guards.is_allowed_host(headers, self.allowed)
        ):
            return LOCAL
        raise _unauthorized("")

    async def guest(self, scope: dict[str, Any], headers: guards.Headers) -> Principal | None:
        """Return who calls an open route, None if that is not known."""
        try:
            return await self.principal(scope, headers)
        except HttpProblem:
            return None


def _bearer(headers: guards.Headers) -> str | None:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _unauthorized(parameter: str) -> HttpProblem:
    challenge = f'Bearer realm="angelica"{", " if parameter else ""}{parameter}'
    return HttpProblem("unauthorized", headers={"WWW-Authenticate": challenge})


async def _ask(auth: AuthCallable, scope: dict[str, Any]) -> Principal:
    try:
        said = auth(Request(scope))
        if inspect.isawaitable(said):
            said = await said
    except HTTPException as error:
        slug = "forbidden" if error.status_code == HTTPStatus.FORBIDDEN else "unauthorized"
        raise HttpProblem(slug, str(error.detail), headers=error.headers) from None
    if isinstance(said, Principal):
        return said
    if isinstance(said, str) and said:
        return Principal(said)
    if said is True:
        return HOST
    raise _unauthorized("")
