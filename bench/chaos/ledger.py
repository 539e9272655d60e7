"""The client's own record: which submits were acknowledged, which have an unknown outcome, which were refused."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TOKEN = "angelica-chaos-token-0123456789abcdef"  # noqa: S105 - of a server that lives for a minute on loopback
PATIENCE = 10.0
UNKNOWN = (OSError, http.client.HTTPException)
OK = frozenset({200, 201})


@dataclass(slots=True)
class Ledger:
    """Ids by what the client was told, with the function that each runs."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    asked: int = 0


class Client:
    """Submits over HTTP and writes down what it was told. `address` gives the server's URL as it is now."""

    def __init__(self, address: Callable[[], str], ledger: Ledger) -> None:
        self._address = address
        self.ledger = ledger

    def submit(self, function: str, milliseconds: int, task_id: str, *, again: bool = True) -> None:
        """Submit one task; with `again`, repeat with the same id until the answer is definite."""
        body = {"name": function, "kwargs": {"milliseconds": milliseconds}, "task_id": task_id}
        self._send("/tasks", body, {task_id: function}, again=again)

    def submit_many(self, function: str, arguments: Sequence[int], prefix: str) -> None:
        """Submit a batch, all or none."""
        ids = {f"{prefix}-{n}": function for n in range(len(arguments))}
        tasks = [
            {"name": function, "kwargs": {"milliseconds": value}, "task_id": task_id}
            for task_id, value in zip(ids, arguments, strict=True)
        ]
        self._send("/tasks/batch", {"tasks": tasks, "atomic": True}, ids, again=True)

    def _send(self, path: str, body: dict[str, Any], ids: dict[str, str], *, again: bool) -> None:
        self.ledger.asked += len(ids)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                status = self._post(path, body)
            except UNKNOWN:
                status = 0
            if status in OK:
                self.ledger.acknowledged.update(ids)
                return
            if 400 <= status < 500:  # noqa: PLR2004 - definite: it was not created
                self.ledger.refused.update(ids)
                return
            if not again or time.monotonic() > until:
                self.ledger.unknown.update(ids)
                return
            time.sleep(0.02)

    def _post(self, path: str, body: dict[str, Any]) -> int:
        connection = http.client.HTTPConnection(urlsplit(self._address()).netloc, timeout=PATIENCE)
        try:
            headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()
