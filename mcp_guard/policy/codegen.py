"""A condition's syntax tree becomes Python with the look-ups and type checks written out.

Constants are lifted out of the text, so that conditions that differ only in them are one piece of code.

An allow-list: every node, name, field and function that is not named here is refused. Operands are typed as far as the
text shows; where only the call will tell, the generated code checks (`operands.py`), so that no comparison ever mixes
kinds.
"""

import ast
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from mcp_guard.model.limit_text import UNIT_PATTERN
from mcp_guard.policy import syntax
from mcp_guard.policy.fields import FIELDS, ROOTS, UNSUPPORTED, Kind
from mcp_guard.policy.functions import FUNCTIONS, Function
from mcp_guard.policy.names import did_you_mean
from mcp_guard.policy.syntax import ConditionError

_ORDER: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "less"),
    ast.LtE: ("<=", "at_most"),
    ast.Gt: (">", "more"),
    ast.GtE: (">=", "at_least"),
}
MAX_DEPTH = 32
_SPENT = re.compile(rf"{UNIT_PATTERN}_(today|month)")
_SCALARS = (Kind.BOOL, Kind.NUMBER, Kind.TEXT)
_OR_NONE = {
    Kind.BOOL: ("bool", "bool_or_none"),
    Kind.NUMBER: ("int", "number_or_none"),
    Kind.TEXT: ("str", "text_or_none"),
}
_STRICT = {Kind.BOOL: ("bool", "mismatch()"), Kind.NUMBER: ("int", "number({0})"), Kind.TEXT: ("str", "mismatch()")}
_CONSTANTS: dict[type, Kind] = {
    bool: Kind.BOOL,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    type(None): Kind.NONE,
}

# simpleeval, which evaluates for stock Casbin, refuses these after a dot.
_NOT_AFTER_DOT = frozenset({"exec", "format", "format_map", "mro", "ag_frame", "cr_frame", "gi_frame", "tb_frame"})


class Code(NamedTuple):
    """Generated text and what is known of its value. `judged` marks comparisons, calls and and/or/not."""

    text: str
    kind: Kind
    judged: bool = False


@dataclass
class Writer:
    """Writes one condition. `bound` holds its constants, and functions prepared for their constant arguments."""

    source: str
    bound: dict[str, object] = field(default_factory=dict)
    uses_args: bool = False
    uses_seen: bool = False
    spent: set[str] = field(default_factory=set)
    _temporaries: int = 0
    _depth: int = 0

    def boolean(self, node: ast.expr) -> str:
        """Code of a node that has to be true or false."""
        code = self.expression(node)
        if code.kind is Kind.ANY:
            return self._checked(code, Kind.BOOL)
        if code.kind is not Kind.BOOL:
            raise self._wrong(
                node, "condition_type", f"{code.kind.value} is not true or false", "compare it with something"
            )
        return code.text

    def expression(self, node: ast.expr) -> Code:
        """Code of any node. Raises `ConditionError` for what is not allowed."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(node, "condition_too_long", "the condition is nested too deeply", "split the row")
        code = self._expression(node)
        self._depth -= 1
        return code

    def _expression(self, node: ast.expr) -> Code:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._path(node)
            case ast.BoolOp():
                word = " and " if isinstance(node.op, ast.And) else " or "
                return Code(f"({word.join(map(self.boolean, node.values))})", Kind.BOOL, judged=True)
            case ast.UnaryOp(op=ast.Not()):
                return Code(f"(not {self.boolean(node.operand)})", Kind.BOOL, judged=True)
            case ast.UnaryOp(op=ast.USub()):
                return Code(f"(-{self._number(node.operand)})", Kind.NUMBER)
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                sign = "+" if isinstance(node.op, ast.Add) else "-"
                return Code(f"({self._number(node.left)} {sign} {self._number(node.right)})", Kind.NUMBER)
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
            case ast.Tuple() | ast.List():
                raise self._wrong(
                    node, "condition_type", "a list can only stand after `in`", "compare values one by one"
                )
        hint = "allowed: and or not, comparisons, in, + - on numbers, constants, r.ctx fields, " + " ".join(FUNCTIONS)
        raise self._wrong(node, "condition_node", f"{type(node).__name__} is not allowed in a condition", hint)

    def _wrong(self, node: ast.expr, code: str, message: str, hint: str = "") -> ConditionError:
        return ConditionError(code, message, syntax.offset(self.source, node), hint)

    def _constant(self, node: ast.Constant) -> Code:
        kind = _CONSTANTS.get(type(node.value))
        if kind is None:
            raise self._wrong(
                node, "condition_node", "this constant is not allowed in a condition", "text, number, True, False, None"
            )
        # True, False and None stay: they are part of what a condition looks like.
        return Code(self._lift(node.value) if kind in (Kind.NUMBER, Kind.TEXT) else repr(node.value), kind)

    def _lift(self, value: object) -> str:
        """A name that stands for the value in the text."""
        name = f"c{len(self.bound)}"
        self.bound[name] = value
        return name

    # --- fields of the request ---------------------------------------------------------------------------------

    def _path(self, node: ast.expr) -> Code:
        """`r.ctx.<field>` and data keys below it."""
        keys: list[tuple[str, ast.expr]] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            keys.append((self._key(root), root))
            root = root.value
        keys.reverse()
        if not isinstance(root, ast.Name):
            return self.expression(root) if not keys else self._not_below(root)
        if root.id != "r":
            hint = did_you_mean(root.id, ("True", "False", "None")) or did_you_mean(root.id.title(), ("True", "False"))
            raise self._wrong(
                root,
                "condition_name",
                f"`{root.id}` is not known here",
                hint or "a condition sees r.ctx only; texts need quotes",
            )
        return self._field(node, keys)

    def _not_below(self, root: ast.expr) -> Code:
        raise self._wrong(root, "condition_node", "look-ups start at r.ctx", "for example r.ctx.args.amount")

    def _key(self, node: ast.Attribute | ast.Subscript) -> str:
        if isinstance(node, ast.Subscript):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                return node.slice.value
            raise self._wrong(
                node, "condition_node", "only a constant text can stand in []", 'for example r.ctx.args["from"]'
            )
        if node.attr.startswith(("_", "func_")) or node.attr in _NOT_AFTER_DOT:
            hint = f'write ["{node.attr}"]'
            raise self._wrong(node, "condition_name", f"`{node.attr}` cannot stand after a dot", hint)
        return node.attr

    def _field(self, node: ast.expr, keys: list[tuple[str, ast.expr]]) -> Code:
        names = tuple(name for name, _ in keys)
        if names[:1] != ("ctx",):
            raise self._wrong(
                node,
                "condition_field",
                "a condition sees r.ctx only",
                "who, via, tenant, act, tool have columns of their own",
            )
        names = names[1:]
        length = 1 if names[:1] in FIELDS else 2
        found = FIELDS.get(names[:length])
        spelt_out = all(isinstance(step, ast.Attribute) for _, step in keys[: length + 1])
        if found is None or not spelt_out or (names[length:] and not found.open):
            raise self._unknown_field(node, names)
        self.uses_args |= names[0] == "args"
        self.uses_seen |= names[0] == "seen"
        if names[0] == "spent":
            self._note_spent(node, names[1:])
        if len(names) > MAX_DEPTH:
            raise self._wrong(node, "condition_too_long", "the field lies too deep", "shorten the path")
        if below := names[length:]:
            return Code(found.code + "".join(f"[{name!r}]" for name in below), Kind.ANY)
        return Code(found.code, found.kind)

    def _note_spent(self, node: ast.expr, below: tuple[str, ...]) -> None:
        """Remember what has to be looked up: an amount, never the mapping of all."""
        if len(below) != 1 or _SPENT.fullmatch(below[0]) is None:
            message, hint = "r.ctx.spent has UNIT_today and UNIT_month", "for example r.ctx.spent.usd_today"
            raise self._wrong(node, "condition_field", message, hint)
        self.spent.add(below[0])

    def _unknown_field(self, node: ast.expr, names: tuple[str, ...]) -> ConditionError:
        if names[:1] and names[0] in UNSUPPORTED:
            message = f"r.ctx.{names[0]} is not supported by this version"
            return self._wrong(node, "unsupported", message, "leave the row out; it would not be enforced")
        known = [".".join(path) for path in FIELDS]
        hint = did_you_mean(".".join(names[:2]), known) or did_you_mean("".join(names[:1]), ROOTS)
        message = f"`{'.'.join(('r', 'ctx', *names[:2]))}` is not a field of a request"
        return self._wrong(
            node, "condition_field", message, hint or "known: " + ", ".join(f"r.ctx.{name}" for name in known)
        )

    # --- typed operands ----------------------------------------------------------------------------------------

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def _checked(self, code: Code, kind: Kind) -> str:
        """The value where it is of `kind`; otherwise the condition fails."""
        if code.kind is kind:
            return code.text
        name = self._temporary()
        exact, otherwise = _STRICT[kind]
        return f"({name} if type({name} := {code.text}) is {exact} else {otherwise.format(name)})"

    def _or_none(self, code: Code, kind: Kind) -> str:
        if code.kind is kind:
            return code.text
        name = self._temporary()
        exact, otherwise = _OR_NONE[kind]
        return f"({name} if type({name} := {code.text}) is {exact} else {otherwise}({name}))"

    def _number(self, node: ast.expr) -> str:
        code = self.expression(node)
        if code.kind not in (Kind.NUMBER, Kind.ANY):
            raise self._wrong(
                node, "condition_type", f"{code.kind.value} cannot be added, subtracted or negated", "numbers only"
            )
        return self._checked(code, Kind.NUMBER)

    # --- comparisons -------------------------------------------------------------------------------------------

    def _compare(self, node: ast.Compare) -> Code:
        """A chain is the conjunction of its pairs; operands are pure, so reading one twice changes nothing."""
        operands = [node.left, *node.comparators]
        pairs = [self._pair(op, *operands[index : index + 2]) for index, op in enumerate(node.ops)]
        return Code(f"({' and '.join(pairs)})", Kind.BOOL, judged=True)

    def _pair(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> str:
        match op:
            case ast.In() | ast.NotIn():
                negation = "not " if isinstance(op, ast.NotIn) else ""
                return f"({negation}{self._membership(left, right)})"
            case ast.Eq() | ast.NotEq():
                return self._equality(op, left, right)
            case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE():
                return self._order(op, left, right)
        raise self._wrong(left, "condition_node", "`is` is not allowed in a condition", "write == None or != None")

    def _scalar(self, node: ast.expr) -> Code:
        code = self.expression(node)
        if code.judged or code.kind not in (*_SCALARS, Kind.NONE, Kind.ANY):
            what = "the result of a comparison" if code.judged else code.kind.value
            raise self._wrong(
                node, "condition_type", f"{what} cannot be compared", "compare texts, numbers, True, False, None"
            )
        return code

    def _both(self, left: ast.expr, right: ast.expr) -> tuple[Code, Code, Kind]:
        """Two operands and the kind they share, as far as it is known."""
        first, second = self._scalar(left), self._scalar(right)
        kinds = {first.kind, second.kind} - {Kind.ANY, Kind.NONE}
        if len(kinds) > 1:
            message = f"{first.kind.value} is never equal to, less or more than {second.kind.value}"
            raise self._wrong(right, "condition_type", message, "compare values of one kind")
        return first, second, kinds.pop() if kinds else Kind.ANY

    def _equality(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> str:
        first, second, kind = self._both(left, right)
        same = isinstance(op, ast.Eq)
        if Kind.NONE in (first.kind, second.kind):
            return self._against_none(first, second, same)
        if kind is Kind.ANY:
            return f"({'' if same else 'not '}equal({first.text}, {second.text}))"
        return f"({self._or_none(first, kind)} {'==' if same else '!='} {self._or_none(second, kind)})"

    def _against_none(self, first: Code, second: Code, same: bool) -> str:
        other = second if first.kind is Kind.NONE else first
        if other.kind is Kind.ANY:
            return f"({other.text} {'is' if same else 'is not'} None)"
        return str((other.kind is Kind.NONE) == same)

    def _order(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> str:
        first, second, kind = self._both(left, right)
        sign, function = _ORDER[type(op)]
        if kind is Kind.BOOL or Kind.NONE in (first.kind, second.kind):
            raise self._wrong(left, "condition_type", "only numbers and texts have an order", "use == or !=")
        if kind is Kind.ANY:
            return f"{function}({first.text}, {second.text})"
        return f"({self._checked(first, kind)} {sign} {self._checked(second, kind)})"

    def _membership(self, left: ast.expr, right: ast.expr) -> str:
        if isinstance(right, ast.Tuple | ast.List):
            kind, values = self._list(right)
            return f"({self._of(left, kind)} in {values})"
        container = self.expression(right)
        if container.kind in (Kind.TEXTS, Kind.MAPPING, Kind.TEXT):
            return f"({self._of(left, Kind.TEXT)} in {container.text})"
        if container.kind is not Kind.ANY:
            raise self._wrong(right, "condition_type", f"nothing is in {container.kind.value}", 'write in ("a", "b")')
        return f"contains({container.text}, {self._scalar(left).text})"

    def _of(self, node: ast.expr, kind: Kind) -> str:
        code = self._scalar(node)
        if code.kind not in (kind, Kind.ANY):
            message = f"{code.kind.value} is never in what holds only {kind.value}"
            raise self._wrong(node, "condition_type", message, "compare values of one kind")
        return self._checked(code, kind)

    def _list(self, node: ast.Tuple | ast.List) -> tuple[Kind, str]:
        """A constant list of one kind, as a set."""
        values = [self._list_item(item) for item in node.elts]
        kinds = {_CONSTANTS[type(value)] for value in values}
        if len(kinds) != 1 or kinds & {Kind.NONE}:
            message = "a list holds constants of one kind, at least one"
            raise self._wrong(node, "condition_type", message, 'for example ("EU", "US"); None is compared with ==')
        return kinds.pop(), self._lift(frozenset(values))

    def _list_item(self, node: ast.expr) -> object:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
                type(value) is not bool
            ):
                return -value
            case ast.Constant(value=value) if type(value) in _CONSTANTS:
                return value
        raise self._wrong(node, "condition_type", "a list holds constants only", "compare one by one with `or`")

    # --- functions ---------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Code:
        name, function = self._function(node)
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self._wrong(
                node, "condition_arguments", f"`{name}` takes plain arguments", f"for example {function.usage}"
            )
        if not function.least <= len(node.args) <= function.most:
            raise self._wrong(
                node, "condition_arguments", f"`{name}` takes other arguments", f"for example {function.usage}"
            )
        first = self._argument(node.args[0], name, function.takes)
        rest = node.args[1:]
        if all(isinstance(argument, ast.Constant) for argument in rest):
            return Code(f"{self._bind(name, function, rest)}({first})", Kind.BOOL, judged=True)
        if function.constant_only:
            raise self._wrong(
                rest[0], "condition_arguments", f"`{name}` takes constants here", f"for example {function.usage}"
            )
        texts = ", ".join(self._argument(argument, name, Kind.TEXT) for argument in rest)
        return Code(f"{name}({first}, {texts})", Kind.BOOL, judged=True)

    def _function(self, node: ast.Call) -> tuple[str, Function]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            what = f"`{name}` is not a function here" if name else "only plain functions can be called"
            raise self._wrong(
                node, "condition_function", what, did_you_mean(name, FUNCTIONS) or "known: " + ", ".join(FUNCTIONS)
            )
        return name, FUNCTIONS[name]

    def _argument(self, node: ast.expr, name: str, wanted: Kind) -> str:
        code = self.expression(node)
        if code.judged or code.kind not in (wanted, Kind.ANY):
            raise self._wrong(
                node, "condition_type", f"`{name}` wants {wanted.value} here", f"for example {FUNCTIONS[name].usage}"
            )
        return code.text

    def _bind(self, name: str, function: Function, rest: list[ast.expr]) -> str:
        values = [argument.value for argument in rest if isinstance(argument, ast.Constant)]
        for argument, value in zip(rest, values, strict=True):
            if not isinstance(value, str):
                raise self._wrong(
                    argument, "condition_type", f"`{name}` wants a text here", f"for example {function.usage}"
                )
        try:
            prepared = function.bind(*values)
        except ValueError as error:
            raise self._wrong(rest[0], "condition_constant", str(error), f"for example {function.usage}") from None
        return self._lift(prepared)
