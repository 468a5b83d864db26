"""From a function's signature to the schema of its arguments, by reading its source. Nothing is imported or run.

    str int float bool None        a value of that type; float takes every number
    list[X] dict[str, X]           an array; an object of any names
    X | Y, Optional[X], Literal    one of them
    a TypedDict, a dataclass       an object of these fields, where the class stands in the same file
    Any, object                    anything
    Annotated[X, "words"]          X with a description

A parameter with a default may be left out. Anything else is refused at its line: what cannot be read cannot be checked.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mcp_guard.kit.text import first_hidden

Schema = dict[str, object]
_PLAIN: Mapping[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "list": {"type": "array"},
    "dict": {"type": "object", "additionalProperties": True},
    "Any": {},
    "object": {},
}
_MAX_DEPTH = 16
_WAY_OUT = "write inputSchema in the manifest, or annotate with what docs/tools.md lists"


class Unreadable(Exception):
    """A signature or a part of one has no schema. `line` and `column` count from 1."""

    def __init__(self, message: str, node: ast.AST | SyntaxError | None = None, hint: str = _WAY_OUT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = getattr(node, "lineno", None) or 1
        self.column = getattr(node, "col_offset", 0) + 1


@dataclass(frozen=True, slots=True)
class Signature:
    """The schema of a function's arguments, and which of them are dataclasses or hold some: those are built first."""

    schema: Schema
    built: tuple[str, ...]


def read(source: str, function: str) -> Signature:
    """The signature of a function of a module's source. Raises `Unreadable`."""
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        raise Unreadable("this is not Python", error, "correct it") from None
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable("the file is not Python", None, "correct it") from None
    found = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    named = [node for node in found if node.name == function]
    if len(named) != 1:
        raise Unreadable(f"there is no function {function} at the top of the file", None, "correct the name")
    if named[0].decorator_list:
        raise Unreadable("a decorator can change what the function takes", named[0].decorator_list[0])
    return _Reader(module).signature(named[0])


@dataclass(slots=True)
class _Reader:
    module: ast.Module
    classes: dict[str, ast.ClassDef] = field(init=False)
    aliases: dict[str, ast.expr] = field(init=False)
    builds: bool = False

    def __post_init__(self) -> None:
        body = self.module.body
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        self.aliases = {
            node.targets[0].id: node.value
            for node in body
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }

    def signature(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
        taken = function.args
        for unwanted in (taken.vararg, taken.kwarg, *taken.posonlyargs):
            if unwanted is not None:
                raise Unreadable("arguments are passed by keyword, and each has a name", unwanted)
        properties: dict[str, object] = {}
        required, built = [], []
        for argument, default in _parameters(taken):
            if argument.annotation is None:
                raise Unreadable(f"the parameter {argument.arg} has no annotation", argument)
            self.builds = False
            schema = self.schema(argument.annotation, 0)
            if self.builds:
                built.append(argument.arg)
            if default is None:
                required.append(argument.arg)
            properties[argument.arg] = {**schema, **_default(default)}
        return Signature({"type": "object", "properties": properties, "required": required}, tuple(built))

    def schema(self, node: ast.expr, depth: int) -> Schema:
        """The schema of an annotation."""
        if depth > _MAX_DEPTH:
            raise Unreadable("the annotation refers to itself, or is nested too deep", node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.schema(_quoted(node), depth + 1)
        if isinstance(node, ast.Constant) and node.value is None:
            return dict(_PLAIN["None"])
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right], depth)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, depth)
        name = _name(node)
        if isinstance(node, ast.Name) and name in self.classes:
            return self._class(self.classes[name], depth)
        if isinstance(node, ast.Name) and name in self.aliases:
            return self.schema(self.aliases[name], depth + 1)
        if name in _PLAIN:
            return dict(_PLAIN[name])
        raise Unreadable("this annotation has no schema", node)

    def _subscript(self, node: ast.Subscript, depth: int) -> Schema:
        name = _name(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("list", "List", "Sequence") and len(inner) == 1:
            return {"type": "array", "items": self.schema(inner[0], depth + 1)}
        if name in ("dict", "Dict", "Mapping") and len(inner) == 2 and _name(inner[0]) == "str":
            return {"type": "object", "additionalProperties": self.schema(inner[1], depth + 1) or True}
        if name == "Optional" and len(inner) == 1:
            return self._union([inner[0], ast.copy_location(ast.Constant(None), node)], depth)
        if name == "Union":
            return self._union(inner, depth)
        if name == "Literal":
            return {"enum": [_literal(part) for part in inner]}
        if name == "Annotated" and len(inner) == 2:
            words = _literal(inner[1])
            if isinstance(words, str):
                return {**self.schema(inner[0], depth + 1), "description": words}
        raise Unreadable("this annotation has no schema", node)

    def _union(self, parts: list[ast.expr], depth: int) -> Schema:
        schemas = [self.schema(part, depth + 1) for part in parts]
        types = [schema["type"] for schema in schemas if set(schema) == {"type"}]
        if len(types) == len(schemas):
            flat = [kind for found in types for kind in (found if isinstance(found, list) else [found])]
            return {"type": list(dict.fromkeys(flat))}
        return {"anyOf": schemas}

    def _class(self, node: ast.ClassDef, depth: int) -> Schema:
        bases = [_name(base) for base in node.bases]
        decorators = [_name(found.func if isinstance(found, ast.Call) else found) for found in node.decorator_list]
        if bases == ["TypedDict"] and not decorators:
            total = all(not (key.arg == "total" and _literal(key.value) is False) for key in node.keywords)
            return self._object(node, depth, total)
        if decorators == ["dataclass"] and not bases:
            self.builds = True
            return self._object(node, depth, True)
        raise Unreadable(f"{node.name} is neither a TypedDict nor a dataclass of its own", node)

    def _object(self, node: ast.ClassDef, depth: int, total: bool) -> Schema:
        properties: dict[str, object] = {}
        required = []
        for statement in node.body:
            if isinstance(statement, ast.Expr | ast.Pass | ast.FunctionDef):
                continue  # words, and methods
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                raise Unreadable("this line of the class has no schema", statement)
            annotation, needed, name = statement.annotation, total, statement.target.id
            if isinstance(annotation, ast.Subscript) and _name(annotation.value) in ("Required", "NotRequired"):
                needed = _name(annotation.value) == "Required"
                annotation = annotation.slice
            properties[name] = self.schema(annotation, depth + 1)
            if needed and statement.value is None:
                required.append(name)
        return {"type": "object", "properties": properties, "required": required}


def _parameters(taken: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    missing = len(taken.args) - len(taken.defaults)
    yield from zip(taken.args, [*[None] * missing, *taken.defaults], strict=True)
    yield from zip(taken.kwonlyargs, taken.kw_defaults, strict=True)


def _name(node: ast.expr) -> str:
    """The last part of a name: `typing.Any` is `Any`."""
    if isinstance(node, ast.Constant) and node.value is None:
        return "None"
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _quoted(node: ast.Constant) -> ast.expr:
    try:
        body = ast.parse(str(node.value), mode="eval").body
    except (SyntaxError, ValueError):
        raise Unreadable("this annotation has no schema", node) from None
    for found in ast.walk(body):
        ast.copy_location(found, node)
    return body


def _literal(node: ast.expr) -> object:
    """A constant that JSON has, too."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        value = ...
    if value is not None and not isinstance(value, str | bool | int):
        raise Unreadable("only texts, whole numbers, True, False and None can stand here", node)
    if isinstance(value, str) and first_hidden(value) is not None:
        raise Unreadable("the text holds a hidden character", node, "delete it")
    return value


def _default(node: ast.expr | None) -> Schema:
    """The default as the schema shows it, where JSON has it; an annotation, nothing is filled in."""
    if node is None:
        return {}
    try:
        value = _literal(node)
    except Unreadable:
        return {}
    return {} if value is None else {"default": value}
