"""The catalogue: which functions can be submitted, by this process's own code and by what the store has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from angelica import strict_json
from angelica.clock import DAY, SECOND, Clock
from angelica.errors import InvalidArguments, InvalidValue, UnknownFunction
from angelica.runtime.binding import encode_call, fill_template
from angelica.runtime.defaults import defaults_from_text
from angelica.runtime.functions import Function
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.schema import check_call
from angelica.storage.protocol import FunctionRow, Reader

FRESH: Final = DAY
"""A stored function counts as known so long after an engine last declared it."""

_REREAD: Final = SECOND
_NEAR: Final = 3


class StoredFunction:
    """A function whose code is elsewhere: calls are checked against its stored schema only."""

    __slots__ = ("_payload_limit", "_schema", "defaults", "name")

    def __init__(self, row: FunctionRow, payload_limit: int) -> None:
        self.name = row.name
        self.defaults = defaults_from_text(row.name, row.version, _executor(row.executor), row.defaults)
        self._schema = strict_json.loads(row.schema)
        self._payload_limit = payload_limit

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the payload text; raises `InvalidArguments`."""
        check_call(self._schema, args, kwargs)
        for at, value in (("/args", list(args)), ("/kwargs", dict(kwargs))):
            try:
                strict_json.check(value, at)
            except InvalidValue as error:
                raise InvalidArguments(error.field, error.problem, hint=error.hint, rule=error.rule) from None
        return encode_call(args, kwargs, self._payload_limit)

    def unique_key(self, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the unique key that the declared template gives for these arguments (JSON values)."""
        return fill_template(template, self.named(args, kwargs))

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments (JSON values) by their names, with the defaults of the others."""
        properties: Mapping[str, Any] = self._schema.get("properties", {})
        bound = {name: shape["default"] for name, shape in properties.items() if "default" in shape}
        bound.update(zip(self._schema.get("x-positional", ()), args, strict=False))
        return {**bound, **kwargs}


class Catalogue:
    """Finds functions by name; what the store says is read again at most once a second, and only on a miss."""

    def __init__(self, reader: Reader, registry: FunctionRegistry, clock: Clock, payload_limit: int) -> None:
        self._reader = reader
        self._registry = registry
        self._clock = clock
        self._payload_limit = payload_limit
        self._stored: dict[str, StoredFunction] = {}
        self._read_at: int | None = None

    async def find(self, name: str) -> Function[..., Any] | StoredFunction:
        """Return the function; raises `UnknownFunction` with names that are close."""
        local = self._registry.get(name)
        if local is not None:
            return local
        tick = self._clock.now().tick
        if self._read_at is None or tick - self._read_at >= _REREAD:
            await self._reread()
            self._read_at = tick
        stored = self._stored.get(name)
        if stored is None:
            known = {*self._registry.names(), *self._stored}
            raise UnknownFunction(name, tuple(get_close_matches(name, sorted(known), n=_NEAR)))
        return stored

    async def _reread(self) -> None:
        oldest = self._clock.now().wall - FRESH
        rows = await self._reader.list_functions()
        self._stored = {row.name: StoredFunction(row, self._payload_limit) for row in rows if row.seen_at >= oldest}


def _executor(word: str) -> Any:
    return word
