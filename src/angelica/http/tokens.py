"""The admin token of a server: random, shown once, kept only as its hash in a private file beside the store."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from angelica.errors import InvalidValue
from angelica.http.host import Principal
from angelica.http.tokenpath import token_path

PREFIX: Final = "angelica_"
ADMIN: Final = Principal("token:admin")
_SHORTEST: Final = 32


class TokenFile:
    """The file with the hash. Makes the token at the first `ensure`, and checks tokens against it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._digest: bytes | None = None
        self._stamp = 0

    @classmethod
    def beside(cls, store: Path | None) -> TokenFile:
        """Return the token file of an SQLite store, or of a store elsewhere (None)."""
        return cls(token_path(store))

    @property
    def path(self) -> Path:
        return self._path

    def exists(self) -> bool:
        """Whether a token has been made."""
        return self._path.exists()

    def ensure(self, chosen: str | None = None) -> str | None:
        """Make the token unless there is one; return it in clear, this once, or None if it was there.

        `chosen` is taken instead of a random one; see `confirm`. A file that another process makes at the same
        moment wins.
        """
        self.confirm(chosen)
        token = chosen or PREFIX + secrets.token_urlsafe(32)
        body = json.dumps({"version": 1, "sha256": _digest(token).hex()}) + "\n"
        # Written aside and linked into place: who sees the file sees all of it, and only the first link succeeds.
        draft = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, self._path)
        except FileExistsError:
            self.confirm(chosen)
            return None
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        return token

    def confirm(self, chosen: str | None) -> None:
        """Raise `InvalidValue` if `chosen` cannot be this server's token: too short, or another one stands."""
        if chosen is None:
            return
        if len(chosen) < _SHORTEST:
            raise InvalidValue("/token", "is too short to be safe", hint=f"at least {_SHORTEST} random characters")
        if self.exists() and self.check(chosen) is None:
            problem = "is not the one that this server was first started with"
            raise InvalidValue("/token", problem, hint=f"to take the new one, delete {self._path}")

    def check(self, token: str) -> Principal | None:
        """Return the admin if this is the token, else None; takes the same time either way."""
        digest = self._load()
        given = _digest(token)
        same = hmac.compare_digest(given, digest or bytes(len(given)))
        return ADMIN if same and digest is not None else None

    def _load(self) -> bytes | None:
        """Read the hash, again only when the file has changed: a new token counts at once."""
        try:
            status = self._path.stat()
            if self._digest is None or status.st_mtime_ns != self._stamp:
                self._digest = bytes.fromhex(json.loads(self._path.read_text())["sha256"])
                self._stamp = status.st_mtime_ns
        except (OSError, ValueError, KeyError, TypeError):
            self._digest = None
        return self._digest


def _digest(token: str) -> bytes:
    # One plain hash is enough: a token of 256 random bits cannot be guessed, however fast the guesses are.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
