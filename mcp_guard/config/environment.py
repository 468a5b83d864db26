"""`MCP_GUARD_SECTION__KEY`: settings from the environment, each converted to the type its key has."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel

from mcp_guard.manifest import suggest
from mcp_guard.manifest.fields import Strict
from mcp_guard.model.problem import Problem

PREFIX = "MCP_GUARD_"
NOT_SETTINGS = frozenset({"MCP_GUARD_HOME", "MCP_GUARD_TOKEN", "MCP_GUARD_FAILPOINT"})
SECRET_PREFIX = "MCP_GUARD_SECRET_"  # noqa: S105 - the beginning of names, not a secret
_BOOLEANS = {"true": True, "false": False}
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A setting by environment variable."""

    name: str
    key: Key
    value: object


def read(environ: Mapping[str, str], root: type[BaseModel]) -> tuple[list[Variable], list[Problem]]:
    """The settings among the variables, sorted by name, and what is wrong with the rest. No value is ever quoted."""
    leaves = dict(_leaves(root, ()))
    known = {name_of(key): key for key in leaves if key != ("apiVersion",)}
    unsupported = {name_of(key) for key in _unsupported(root, ())}
    found: list[Variable] = []
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or name.startswith(SECRET_PREFIX):
            continue
        if name in known:
            try:
                found.append(Variable(name, known[name], _convert(environ[name], leaves[known[name]])))
            except ValueError as error:
                problems.append(Problem("type", str(error), name, hint="values of variables are plain text"))
        elif any(name == gone or name.startswith(f"{gone}__") for gone in unsupported):
            problems.append(
                Problem("unsupported", "this setting is not supported by this version", name, hint="unset it")
            )
        else:
            problems.append(Problem("unknown_key", "no setting has this name", name, hint=_hint(name, known)))
    return found, problems


def name_of(key: Key) -> str:
    """The variable of a setting."""
    return PREFIX + "__".join(part.upper() for part in key)


def leaves(root: type[BaseModel]) -> list[Key]:
    """The keys of every single value the settings have, in the order of the file."""
    return [key for key, _ in _leaves(root, ())]


def _hint(name: str, known: Mapping[str, Key]) -> str:
    inside = [variable for variable in known if variable.startswith(f"{name}__")]
    if inside:
        return f"this is a section; set one of its keys, for example {inside[0]}"
    near = suggest.closest(name, known)
    return (
        f"did you mean {near}?" if near else "`mcp-guard config show` lists the settings; unset it, or correct the name"
    )


def _leaves(model: type[BaseModel], prefix: Key) -> Iterator[tuple[Key, object]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _leaves(annotation, (*prefix, name))
        else:
            yield (*prefix, name), annotation


def _unsupported(model: type[BaseModel], prefix: Key) -> Iterator[Key]:
    if issubclass(model, Strict):
        yield from ((*prefix, name) for name in model.unsupported)
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _unsupported(annotation, (*prefix, name))


def _convert(text: str, annotation: object) -> object:
    kind = _kind(annotation)
    if kind is bool:
        if text not in _BOOLEANS:
            raise ValueError("expected true or false")
        return _BOOLEANS[text]
    if kind is int:
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ValueError("expected an integer")
        return int(text)
    if kind is tuple:
        return _list(text)
    return text


def _list(text: str) -> list[object]:
    """A JSON list, or texts separated by commas; nothing is an empty list."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise ValueError("expected a list: texts separated by commas, or a JSON list")
    return value


def _kind(annotation: object) -> type:
    """The plain type behind an annotation: bool, int, tuple or str."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next(_kind(part) for part in get_args(annotation) if part is not type(None))
    if annotation is bool or annotation is int:
        return annotation
    return tuple if get_origin(annotation) is tuple else str
