"""The engine as the integrations see it, as a protocol."""

from __future__ import annotations

from typing import Protocol

from angelica.http.host import ApiHost


class EngineLike(ApiHost, Protocol):
    """What an integration needs beyond what HTTP needs: to start, to stop, and to know where it is mounted.

    `mounted_at` is the prefix of our addresses in the host application, `""` until `mount` sets it.
    """

    mounted_at: str

    async def start(self) -> None:
        """Start; runs a worker in this process if the settings say so."""
        ...

    async def stop(self) -> None:
        """Stop taking work, let running tasks end within the grace time, release everything."""
        ...
