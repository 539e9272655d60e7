"""Binding: fits a call's arguments to a function's signature, and turns them into payload text and back."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from angelica.errors import InvalidArguments
from angelica.runtime.payload import Codec, codec_of, encode_json
from angelica.strict_json import MAX_INT, MIN_INT, pointer

Arguments = tuple[list[Any], dict[str, Any]]

_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_UNBOUND: Final = frozenset[type]()


class Payload(msgspec.Struct):
    """The payload as it is stored."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


_decode: Final = msgspec.json.Decoder(Payload).decode


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a function."""

    name: str
    kind: Any
    codec: Codec
    default: Any

    @property
    def required(self) -> bool:
        return self.default is Parameter.empty and self.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

    def default_json(self) -> Any:
        """Return the default as a JSON value, None where it has none."""
        try:
            return None if self.default is Parameter.empty else self.codec.to_json(self.default, "")
        except InvalidArguments:
            return None


class Binding:
    """The plan of one function's arguments, made once."""

    __slots__ = (
        "_by_name",
        "_converts",
        "_exact",
        "_least",
        "_most",
        "_named",
        "_positional",
        "_rest",
        "_rest_named",
        "_shift",
        "context_parameter",
        "params",
    )

    def __init__(self, params: Sequence[Param], context_parameter: str | None, shift: int | None) -> None:
        self.params = tuple(params)
        self.context_parameter = context_parameter
        # Positional arguments from this place on are passed by name, since the context stands before them.
        self._shift = shift
        self._positional = tuple(p for p in params if p.kind in _POSITIONAL)
        self._rest = next((p for p in params if p.kind is Parameter.VAR_POSITIONAL), None)
        self._rest_named = next((p for p in params if p.kind is Parameter.VAR_KEYWORD), None)
        self._named = {p.name: p for p in params if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)}
        self._by_name = {name: p.codec.exact for name, p in self._named.items()}
        self._exact = tuple(p.codec.exact for p in self._positional)
        only_named = any(p.required for p in params if p.kind is Parameter.KEYWORD_ONLY)
        self._most = -1 if only_named else len(self._positional)
        self._least = sum(p.required for p in self._positional)
        self._converts = shift is not None or any(p.codec.from_json is not None for p in params)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the payload text of a call; raises `InvalidArguments` naming the argument."""
        if self._fits(args, kwargs):
            text = encode_json(args).decode() if args else "[]"
            named = encode_json(kwargs).decode() if kwargs else "{}"
        else:
            made_args, made_kwargs = self.to_json(args, kwargs)
            text, named = encode_json(made_args).decode(), encode_json(made_kwargs).decode()
        return f'{{"args":{text},"kwargs":{named}}}'

    def decode(self, payload: str) -> Arguments:
        """Return what to call the handler with; raises `InvalidArguments` if the signature no longer takes it."""
        stored = _decode(payload)
        args, kwargs = stored.args, stored.kwargs
        if kwargs or not self._least <= len(args) <= self._most:
            self.fit(args, kwargs)
        return self._converted(args, kwargs) if self._converts else (args, kwargs)

    def to_json(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """Return the arguments as JSON values, each checked against its annotation."""
        self.fit(args, kwargs)
        made = [self._at(n).codec.to_json(value, f"/args/{n}") for n, value in enumerate(args)]
        named = {k: self._of(k).codec.to_json(value, pointer("/kwargs", k)) for k, value in kwargs.items()}
        return made, named

    def fit(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `InvalidArguments` for one that is missing, unknown, given twice or too many."""
        count = len(args)
        if count > len(self._positional) and self._rest is None:
            most = len(self._positional)
            problem = f"takes at most {most} positional argument{'s' * (most != 1)}, {count} were given"
            raise InvalidArguments(f"/args/{most}", problem, rule="unexpected")
        for name in kwargs:
            if name not in self._named:
                if self._rest_named is None or name == self.context_parameter:
                    raise self._unexpected(name)
                continue
            if any(p.name == name for p in self._positional[:count]):
                raise InvalidArguments(pointer("/kwargs", name), "is given twice", rule="duplicate")
        filled = {p.name for p in self._positional[:count]}
        missing = [p.name for p in self.params if p.required and p.name not in filled and p.name not in kwargs]
        if missing:
            also = f" (and so are {', '.join(missing[1:])})" if missing[1:] else ""
            raise InvalidArguments(f"/kwargs/{missing[0]}", f"is missing{also}", rule="missing", missing=missing)

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return bound arguments (JSON values) by name, with the defaults that can be JSON."""
        bound = {p.name: p.default_json() for p in self.params if p.default is not Parameter.empty}
        bound.update((p.name, value) for p, value in zip(self._positional, args, strict=False))
        return {**bound, **kwargs}

    def _fits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether each argument is a plain value of its parameter's own type, so that nothing is left to check."""
        count = len(args)
        if not count <= self._most or (count < self._least and not kwargs):
            return False
        for value, exact in zip(args, self._exact, strict=False):
            if type(value) not in exact or not _sound(value):
                return False
        if not kwargs:
            return True
        for name, value in kwargs.items():
            if type(value) not in self._by_name.get(name, _UNBOUND) or not _sound(value):
                return False
        self.fit(args, kwargs)
        return True

    def _at(self, place: int) -> Param:
        if place < len(self._positional):
            return self._positional[place]
        assert self._rest is not None
        return self._rest

    def _of(self, name: str) -> Param:
        found = self._named.get(name) or self._rest_named
        assert found is not None
        return found

    def _converted(self, args: list[Any], kwargs: dict[str, Any]) -> Arguments:
        made = [_from_json(self._at(n), value, f"/args/{n}") for n, value in enumerate(args)]
        named = {name: _from_json(self._of(name), value, f"/kwargs/{name}") for name, value in kwargs.items()}
        if self._shift is not None and len(made) > self._shift:
            named.update((self._at(n).name, value) for n, value in enumerate(made) if n >= self._shift)
            del made[self._shift :]
        return made, named

    def _unexpected(self, name: str) -> InvalidArguments:
        near = get_close_matches(name, list(self._named), n=1)
        known = ", ".join(self._named) or "no arguments"
        hint = f"did you mean {near[0]}?" if near else f"the function takes {known}"
        return InvalidArguments(
            pointer("/kwargs", name), "is not an argument of the function", hint=hint, rule="unexpected"
        )


def encode_call(args: Sequence[Any], kwargs: Mapping[str, Any], limit: int) -> str:
    """Return the payload text of JSON values; raises `InvalidArguments` above `limit` bytes."""
    text = f'{{"args":{encode_json(args).decode()},"kwargs":{encode_json(kwargs).decode()}}}'
    return check_size(text, limit)


def check_size(text: str, limit: int) -> str:
    """Return the payload text, or raise `InvalidArguments` if it takes more than `limit` bytes."""
    # A character is at most 4 bytes of UTF-8, so most payloads need no second look.
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        problem = f"take {size} bytes of JSON; at most {limit} are carried"
        raise InvalidArguments("/args", problem, hint="pass a reference to the data", rule="too_large", max=limit)
    return text


def fill_template(template: str, bound: Mapping[str, Any]) -> str:
    """Return a template with each `{name}` replaced: text as it is, all else as JSON.

    Raises `InvalidArguments` for a name that is not bound or a template that is none.
    """
    texts = {name: value if isinstance(value, str) else encode_json(value).decode() for name, value in bound.items()}
    try:
        return template.format_map(texts)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        problem = f"the declared key {template!r} cannot be filled: {error}"
        hint = f"the arguments are {', '.join(bound) or 'none'}"
        raise InvalidArguments("/unique", problem, hint=hint, rule="template") from None


def make_binding(handler: Callable[..., Any], hints: Mapping[str, Any]) -> Binding:
    """Return the binding of a handler whose annotations have been resolved to `hints`."""
    params: list[Param] = []
    context: str | None = None
    shift: int | None = None
    for parameter in inspect.signature(handler).parameters.values():
        annotation = hints.get(parameter.name, Any)
        if _is_context(annotation):
            if context is not None:
                raise TypeError(f"{handler.__qualname__}: only one parameter can be the context")
            if parameter.kind not in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY):
                raise TypeError(f"{handler.__qualname__}: the context must be a parameter that can be passed by name")
            context = parameter.name
            shift = len(params) if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD else None
            continue
        if shift is not None and parameter.kind is Parameter.VAR_POSITIONAL:
            raise TypeError(f"{handler.__qualname__}: put the context after *{parameter.name}")
        params.append(Param(parameter.name, parameter.kind, codec_of(annotation), parameter.default))
    if shift is not None and not any(p.kind in _POSITIONAL for p in params[shift:]):
        shift = None
    return Binding(params, context, shift)


def resolve_hints(handler: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the handler's annotations as objects; `names` are those of the scope where it was declared."""
    target: Any = handler
    if not inspect.isroutine(handler) and not isinstance(handler, type):
        target = type(handler).__call__
    return typing.get_type_hints(target, localns=dict(names) or None, include_extras=True)


def _is_context(annotation: Any) -> bool:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if any(_is_context(each) for each in get_args(annotation)):
        return True
    return bool(getattr(annotation, "__angelica_context__", False)) and isinstance(annotation, type)


def _sound(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return bool(MIN_INT <= value <= MAX_INT)
    if kind is str:
        return "\x00" not in value and (value.isascii() or _is_utf8(value))
    return kind is not float or value - value == 0.0


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_json(param: Param, value: Any, at: str) -> Any:
    if param.codec.from_json is None:
        return value
    try:
        return param.codec.from_json(value)
    except (ValueError, TypeError) as error:
        raise InvalidArguments(at, str(error).split("\n", 1)[0], rule="type") from None
