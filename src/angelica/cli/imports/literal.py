"""Python text read as data: literals and a few known calls, recognised by their form; nothing is ever run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_DEEPEST: Final = 50
_LARGEST: Final = 1e15


class NotLiteral(ValueError):
    """A piece of code that is no literal; the text shows it."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """A call such as `crontab(minute=0)`: the last part of its name, and its arguments as values."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Reader:
    """Reads expressions. `known` are the values of names that the file sets to literals; `calls` the call names."""

    def __init__(self, calls: frozenset[str], known: Mapping[str, Any]) -> None:
        self._calls = calls
        self._known = known

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Return the value of an expression; raises `NotLiteral`."""
        if depth > _DEEPEST:
            raise NotLiteral("it is nested too deeply")
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str() as constant):
                return constant
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item, depth + 1) for item in items]
            case ast.Set(elts=items):
                return [self.value(item, depth + 1) for item in items]
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, depth)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand, depth)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
                return _computed(_OPERATIONS[type(op)], self._number(left, depth), self._number(right, depth))
            case ast.Name(id=name) if name in self._known:
                return self._known[name]
            case ast.Call() if call_name(node) in self._calls:
                return self._call(node, depth)
        raise NotLiteral(f"`{shown(node)}` is not a literal; its value is known only when the program runs")

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr], depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:
                raise NotLiteral(f"`**{shown(value)}` is known only when the program runs")
            made[str(self.value(key, depth + 1))] = self.value(value, depth + 1)
        return made

    def _number(self, node: ast.expr, depth: int) -> Any:
        value = self.value(node, depth + 1)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NotLiteral(f"`{shown(node)}` is not a number")
        return value

    def _call(self, node: ast.Call, depth: int) -> CallForm:
        if any(isinstance(each, ast.Starred) for each in node.args) or any(each.arg is None for each in node.keywords):
            raise NotLiteral(f"`{shown(node)}` takes arguments that are known only when the program runs")
        args = tuple(self.value(each, depth + 1) for each in node.args)
        return CallForm(
            call_name(node), args, {str(each.arg): self.value(each.value, depth + 1) for each in node.keywords}
        )


def call_name(node: ast.expr) -> str:
    """Return the last part of the name that is called, empty where it is no name."""
    target = node.func if isinstance(node, ast.Call) else node
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def shown(node: ast.expr) -> str:
    """Return a piece of code, cut to a line."""
    return ast.unparse(node).replace("\n", " ")[:60]


_OPERATIONS: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}


def _computed(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        made = operation(left, right)
    except ZeroDivisionError:
        raise NotLiteral("it divides by zero") from None
    if abs(made) > _LARGEST:
        raise NotLiteral("the number is too large")
    return made
