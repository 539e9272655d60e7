"""Where the hash of a server's token is kept; apart from the tokens themselves, so that asking costs no imports."""

from __future__ import annotations

from pathlib import Path


def token_path(store: Path | None) -> Path:
    """Return the token file of an SQLite store (`angelica.db.token` beside it), or of a store elsewhere (here)."""
    return store.with_name(f"{store.name}.token") if store is not None else Path("angelica.token")
