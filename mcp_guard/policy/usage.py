"""What a condition does with the fields it reads: which, compared with what, and whether it looks before it leaps.

A reading for people and for generated questions; deciding never needs it. The text has been accepted by
`condition.compile_condition`, so whatever cannot stand in a condition is not looked for here.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_guard.policy import syntax
from mcp_guard.policy.fields import Kind
from mcp_guard.policy.functions import FUNCTIONS

Path = tuple[str, ...]

_KINDS: dict[type, Kind] = {bool: Kind.BOOL, int: Kind.NUMBER, float: Kind.NUMBER, str: Kind.TEXT}


@dataclass(frozen=True, slots=True)
class Use:
    """One place that reads a field below `r.ctx`.

    `kind` is what the value has to be, `ANY` where the text leaves it open. `constants` are what it is held against,
    `function` the function it is given to. `presence` marks `"x" in r.ctx.args`, which reads no value. `offset` counts
    characters of the condition from 0.
    """

    path: Path
    offset: int
    kind: Kind = Kind.ANY
    constants: tuple[object, ...] = ()
    function: str = ""
    presence: bool = False


def uses(text: str) -> list[Use]:
    """Every use of a field in an accepted condition, in the order of the text."""
    reader = _Reader(text)
    return sorted(reader.truth(syntax.parse(text)), key=lambda use: use.offset)


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str

    def _use(self, node: ast.expr, kind: Kind, *constants: object, function: str = "") -> Iterator[Use]:
        """The use of a field, or those inside an expression of fields."""
        path = _path(node)
        if path is not None:
            yield Use(path, syntax.offset(self.text, node), kind, constants, function)
        elif isinstance(node, ast.BinOp):
            yield from self._use(node.left, Kind.NUMBER, *constants)
            yield from self._use(node.right, Kind.NUMBER, *constants)
        elif isinstance(node, ast.UnaryOp):
            yield from self._use(
                node.operand, Kind.NUMBER, *(-value for value in constants if isinstance(value, int | float))
            )

    def truth(self, node: ast.expr) -> Iterator[Use]:
        """The uses in something that is true or false."""
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    yield from self.truth(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield from self.truth(operand)
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for index, op in enumerate(node.ops):
                    yield from self._pair(op, *operands[index : index + 2])
            case ast.Call(func=ast.Name(id=name), args=[first, *rest]):
                constants = [argument.value for argument in rest if isinstance(argument, ast.Constant)]
                yield from self._use(first, FUNCTIONS[name].takes, *constants, function=name)
                for argument in rest:
                    yield from self._use(argument, Kind.TEXT, function=name)
            case _:
                yield from self._use(node, Kind.BOOL)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Iterator[Use]:
        if isinstance(op, ast.In | ast.NotIn):
            yield from self._membership(left, right)
            return
        for one, other in ((left, right), (right, left)):
            constant = _constant(other)
            known = [] if constant is None else constant
            yield from self._use(one, _KINDS.get(type(known[0]), Kind.ANY) if known else Kind.ANY, *known)

    def _membership(self, left: ast.expr, right: ast.expr) -> Iterator[Use]:
        if isinstance(right, ast.Tuple | ast.List):
            values = [value for item in right.elts for value in _constant(item) or ()]
            yield from self._use(left, _KINDS.get(type(values[0]), Kind.ANY), *values)
            return
        path, key = _path(right), _constant(left)
        if path is not None and path[-1] in ("args", "attributes") and len(path) < 3 and key:
            yield Use((*path, str(key[0])), syntax.offset(self.text, right), presence=True)
            return
        yield from self._use(right, Kind.LIST, *(key or ()))
        yield from self._use(left, Kind.ANY)


def _path(node: ast.expr) -> Path | None:
    """The keys below `r.ctx` of a field, or `None` for anything else."""
    keys: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            keys.append(node.attr)
        elif isinstance(node.slice, ast.Constant):
            keys.append(str(node.slice.value))
        node = node.value
    return tuple(reversed(keys))[1:] if isinstance(node, ast.Name) and keys else None


def _constant(node: ast.expr) -> tuple[object] | None:
    """The value of a constant (negative numbers are two nodes), or `None` for anything else."""
    match node:
        case ast.Constant(value=value):
            return (value,)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return (-value,)
    return None
