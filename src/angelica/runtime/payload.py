"""The payload codec: how one value crosses from Python to JSON and back, by the annotation it stands under."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from angelica import strict_json
from angelica.errors import AngelicaError, InvalidArguments, InvalidValue
from angelica.strict_json import MAX_INT, MIN_INT

PAYLOAD_LIMIT: Final = 256 * 1024
RESULT_LIMIT: Final = 64 * 1024

encode_json: Final = msgspec.json.Encoder(order="deterministic").encode

_NONE: Final = type(None)
_SCALARS: Final = (int, str, bool, float, _NONE)
_PLAIN: Final = frozenset({*_SCALARS, list, dict, Any, object, Literal})
_UNTYPED_SETS: Final = (set, frozenset, bytes, bytearray, memoryview)


class ResultNotSerialisable(AngelicaError):
    """The handler returned a value that is not JSON and cannot be made into it."""

    code = "result-not-serialisable"


class ResultTooLarge(AngelicaError):
    """The handler's result takes more bytes of JSON than `result_limit`."""

    code = "result-too-large"


@dataclass(frozen=True, slots=True)
class Codec:
    """What one annotation means.

    Values whose exact type is in `exact` pass as they are (numbers are still checked for their range). `to_json`
    takes a Python or a JSON value and its pointer, and returns the JSON value or raises `InvalidArguments`.
    `from_json` is None where the JSON value is what the handler gets.
    """

    annotation: Any
    exact: frozenset[type]
    to_json: Callable[[Any, str], Any]
    from_json: Callable[[Any], Any] | None = None


def codec_of(annotation: Any) -> Codec:
    """Return the codec of an annotation. One that cannot be carried gives a codec that refuses every value."""
    annotation = _bare(annotation)
    if annotation is Any or annotation is object:
        return Codec(Any, frozenset(_SCALARS), _plain_to_json)
    if annotation is None:
        annotation = _NONE
    if annotation in (int, str, bool, float, _NONE):
        return Codec(annotation, frozenset({annotation}), _checked(annotation))
    refusal = _refusal(annotation)
    if refusal is None:
        return _msgspec_codec(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return _union_codec(annotation)
    return Codec(annotation, frozenset(), _refusing(refusal))


def encode_result(value: Any, *, annotated: bool, limit: int) -> str:
    """Return a handler's result as JSON text.

    With `annotated` (the function says what it returns) sets and bytes are taken too. Raises
    `ResultNotSerialisable` or `ResultTooLarge` (`limit` in bytes).
    """
    if type(value) is int and MIN_INT <= value <= MAX_INT:
        return str(value)
    try:
        text = _result_text(value, annotated=annotated)
    except (InvalidValue, RecursionError, MemoryError) as error:
        problem = str(error).lstrip(": ") if isinstance(error, InvalidValue) else "it is nested too deeply"
        raise ResultNotSerialisable(f"the result cannot be stored as JSON: {problem}") from None
    except Exception as error:  # user's model_dump, properties, …: anything may come out of them
        raise ResultNotSerialisable(f"the result cannot be stored as JSON: {type(error).__name__}") from error
    if len(text) > limit or (not text.isascii() and len(text.encode()) > limit):
        raise ResultTooLarge(f"the result takes {len(text.encode())} bytes of JSON; at most {limit} are kept")
    return text


def _result_text(value: Any, *, annotated: bool) -> str:
    try:
        return strict_json.dumps(value)  # most results are plain JSON: no copy is made of them
    except InvalidValue as error:
        if error.rule != "not_json":
            raise
    return strict_json.dumps(_to_plain(value, "", annotated=annotated))


def is_model(kind: Any) -> bool:
    """Whether `kind` is a model class by its methods, as pydantic's are; nothing is imported for it."""
    return isinstance(kind, type) and hasattr(kind, "model_validate") and hasattr(kind, "model_dump")


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, typing.NewType):
        return _bare(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        return _bare(annotation.__bound__) if annotation.__bound__ is not None else Any
    return annotation


def _is_native(annotation: Any) -> bool:
    """Whether the JSON value is the Python value, all the way down."""
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return all(type(choice) in _SCALARS for choice in get_args(annotation))
    if origin in (list, dict, Union, types.UnionType):
        inner = get_args(annotation)
        return (origin is not dict or inner[0] in (str, Any)) and all(_is_native(each) for each in inner)
    return annotation in _PLAIN if isinstance(annotation, type) or annotation is Any else False


def _refusal(annotation: Any) -> str | None:
    """Return why msgspec cannot carry an annotation, None if it can."""
    try:
        msgspec.json.Decoder(annotation, dec_hook=_decode_custom)
        info = msgspec.inspect.type_info(annotation)
    except (TypeError, NameError, AttributeError, RecursionError) as error:
        return str(error).split("\n", 1)[0]
    return _custom_refusal(info, 0)


def _custom_refusal(info: Any, depth: int) -> str | None:
    """Return why a type inside `info` cannot be carried: it is a class of its own that is no model."""
    if isinstance(info, msgspec.inspect.CustomType):
        return None if is_model(info.cls) else f"values of {info.cls.__qualname__} cannot be carried by a task"
    if depth > strict_json.MAX_DEPTH or not isinstance(info, msgspec.inspect.Type):
        return None
    inner: list[Any] = [getattr(info, name, None) for name in ("item_type", "key_type", "value_type")]
    for name in ("types", "item_types"):
        inner.extend(getattr(info, name, ()))
    return next((found for each in inner if (found := _custom_refusal(each, depth + 1))), None)


def _msgspec_codec(annotation: Any) -> Codec:
    def convert(value: Any) -> Any:
        return msgspec.convert(value, annotation, str_keys=True, dec_hook=_decode_custom)

    return Codec(annotation, frozenset(), _checked(annotation), None if _is_native(annotation) else convert)


def _union_codec(annotation: Any) -> Codec:
    """A union that msgspec cannot tell apart (`datetime | str`): the first member that fits; text comes last."""
    members = sorted((codec_of(each) for each in get_args(annotation)), key=lambda codec: codec.annotation is str)

    def to_json(value: Any, at: str) -> Any:
        problems = []
        for member in members:
            try:
                return member.to_json(value, at)
            except InvalidArguments as error:
                problems.append(error.problem)
        raise InvalidArguments(at, " or ".join(dict.fromkeys(problems)), rule="type")

    def from_json(value: Any) -> Any:
        for member in members:
            try:
                member.to_json(value, "")
                return value if member.from_json is None else member.from_json(value)
            except (InvalidArguments, ValueError):
                continue
        raise ValueError(f"does not fit {annotation}")

    return Codec(annotation, frozenset(), to_json, from_json)


def _checked(annotation: Any) -> Callable[[Any, str], Any]:
    """Return a `to_json` that makes the value plain JSON and checks that the annotation takes it."""

    def to_json(value: Any, at: str) -> Any:
        try:
            made = value if _is_scalar(value) else _builtins(value)
            strict_json.check(made, at)
            msgspec.convert(made, annotation, str_keys=True, dec_hook=_decode_custom)
        except msgspec.ValidationError as error:
            raise _mismatch(error, at) from None
        except InvalidValue as error:
            raise InvalidArguments(
                error.field or at, error.problem, hint=error.hint, rule=error.rule, **error.params
            ) from None
        except RecursionError:
            raise InvalidArguments(at, "is nested too deeply, or contains itself", rule="too_deep") from None
        except Exception as error:  # a user's model may raise anything
            raise InvalidArguments(at, f"cannot be carried: {type(error).__name__}: {error}", rule="type") from error
        return made

    return to_json


def _mismatch(error: msgspec.ValidationError, at: str) -> InvalidArguments:
    problem, _, path = str(error).rpartition(" - at `$") if " - at `$" in str(error) else (str(error), "", "")
    problem = problem.replace("`", "")
    for name in ("Expected", "Invalid", "Object"):
        problem = problem.replace(name, name.lower())
    below = path.rstrip("`").replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
    for first in _model_problems(error.__cause__):
        below += "".join(strict_json.pointer("", key) for key in first["loc"])
        problem = first["msg"][:1].lower() + first["msg"][1:]
    return InvalidArguments(at + below, problem.split("\n", 1)[0], rule="type")


def _model_problems(cause: BaseException | None) -> list[Any]:
    """Return the first problem that a model's own validation lists, as pydantic's error does."""
    listed = getattr(cause, "errors", None)
    return list(listed())[:1] if callable(listed) else []


def _refusing(why: str) -> Callable[[Any, str], Any]:
    def to_json(_value: Any, at: str) -> Any:
        raise InvalidArguments(at, why, hint="pass an id or plain data and load the object in the task", rule="type")

    return to_json


def _plain_to_json(value: Any, at: str) -> Any:
    """For a parameter without an annotation: only what comes back as it went (a tuple comes back as a list)."""
    try:
        strict_json.check(value, at)
    except InvalidValue as error:
        hint = error.hint or ("annotate the parameter with its type" if error.rule == "not_json" else "")
        raise InvalidArguments(error.field, error.problem, hint=hint, rule=error.rule, **error.params) from None
    return value


def _is_scalar(value: Any) -> bool:
    return type(value) in _SCALARS


def _builtins(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_encode_custom, order="deterministic")


def _encode_custom(value: Any) -> Any:
    if is_model(type(value)):
        return value.model_dump(mode="json")
    raise InvalidArguments("", f"a value of type {type(value).__qualname__} is not JSON", rule="not_json")


def _decode_custom(kind: Any, value: Any) -> Any:
    if is_model(kind):
        return kind.model_validate(value)
    raise ValueError(f"values of {kind} cannot be carried by a task")


def _to_plain(value: Any, at: str, *, annotated: bool, depth: int = 1) -> Any:
    """Return a result as plain JSON values; sets and bytes only where the function is annotated."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > strict_json.MAX_DEPTH:
        raise InvalidValue("", "it is nested too deeply, or contains itself", rule="too_deep")
    if kind is dict and all(type(key) is str for key in value):
        items = value.items()
        return {key: _to_plain(each, f"{at}/{key}", annotated=annotated, depth=depth + 1) for key, each in items}
    if kind is list or kind is tuple:
        return [_to_plain(each, f"{at}/{n}", annotated=annotated, depth=depth + 1) for n, each in enumerate(value)]
    if isinstance(value, _UNTYPED_SETS) and not annotated:
        hint = "annotate what the function returns, or return a list"
        raise InvalidValue(at, f"a value of type {kind.__name__} is not JSON", hint=hint, rule="not_json")
    if isinstance(value, enum.Enum):
        return _to_plain(value.value, at, annotated=annotated, depth=depth + 1)
    try:
        return _builtins(value)
    except InvalidArguments as error:
        raise InvalidValue(at, error.problem, rule="not_json") from None
