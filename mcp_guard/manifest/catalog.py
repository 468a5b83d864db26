"""The tools of a home, ready to be called: each with its compiled validators."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from mcp_guard.manifest import schema_check
from mcp_guard.manifest.readable import Readable
from mcp_guard.manifest.schemas import JUSTIFICATION
from mcp_guard.manifest.violation import Violation, violations
from mcp_guard.model.tool import Primitive, Tool

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_MAX_EXPLAINED = 64 * 1024
_NOT_JSON = Violation("", "is not a JSON value")


class Entry:
    """One tool and what checks its arguments and results. Immutable."""

    __slots__ = ("_accepts", "_arguments", "_begun", "_properties", "_result", "tool")

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        properties = tool.input_schema.get("properties")
        self._properties = tuple(properties) if isinstance(properties, dict) else ()
        self._arguments = schema_check.validator(_refusing_bound(tool))
        self._accepts = self._arguments.is_valid
        self._begun: Validator | None = None
        self._result = schema_check.validator(dict(tool.output_schema)) if tool.output_schema is not None else None

    def check_arguments(self, arguments: Mapping[str, object]) -> list[Violation]:
        """What is wrong with the arguments of a client, justification included; empty where nothing is.

        `arguments` is a plain dict from the strict JSON reader, which bounds its depth. Nothing is coerced, nothing
        is filled in, and an argument the guard binds is as unknown as any other.
        """
        try:
            if self._accepts(arguments):
                return []
            return violations(_errors(self._arguments, arguments), self._properties)
        except (ValueError, TypeError):
            return [_NOT_JSON]

    def check_begun(self, arguments: Mapping[str, object], completes: str) -> list[Violation]:
        """What is wrong with the arguments there are so far, one of which is to be completed. Nothing but a prompt or a
        template has any that could be."""
        if self.tool.method == "tools/call" or completes not in self._properties or completes not in arguments:
            return [Violation("", "names no argument that can be completed")]
        if self._begun is None:
            self._begun = schema_check.validator(begun(self.tool.input_schema))
        found = self._begun.is_valid(arguments)
        return [] if found else violations(_errors(self._begun, arguments), self._properties)

    def check_result(self, value: object) -> list[Violation]:
        """What is wrong with a result (a JSON value of bounded depth); nothing is without an `outputSchema`."""
        if self._result is None:
            return []
        try:
            return [] if self._result.is_valid(value) else violations(_errors(self._result, value))
        except (ValueError, TypeError):
            return [_NOT_JSON]

    def split(self, arguments: Mapping[str, object]) -> tuple[dict[str, object], str | None]:
        """Checked arguments, as those for the connector and the justification that came with them."""
        rest = dict(arguments)
        if self.tool.justification == "none":
            return rest, None
        justification = rest.pop(JUSTIFICATION, None)
        return rest, justification if isinstance(justification, str) else None


class Catalog(Mapping[str, Entry]):
    """Names to entries, in the order of their names: tools, and what is called like them. Immutable."""

    __slots__ = ("_entries", "_primitives", "readable")

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._entries = MappingProxyType({tool.name: Entry(tool) for tool in sorted(tools, key=lambda tool: tool.name)})
        self._primitives = [(name, entry.tool.primitive) for name, entry in self._entries.items()]
        self.readable = Readable(entry.tool for entry in self._entries.values())

    def of(self, *what: Primitive) -> list[str]:
        """The names of what is of these kinds, in order."""
        return [name for name, primitive in self._primitives if primitive in what]

    @property
    def observed(self) -> tuple[str, ...]:
        """The tools at which policy is recorded and not obeyed, by name."""
        return tuple(name for name, entry in self._entries.items() if entry.tool.observed)

    @property
    def units(self) -> dict[str, str]:
        """The unit of what each tool costs, of those that cost something."""
        return {name: entry.tool.cost.unit for name, entry in self._entries.items() if entry.tool.cost is not None}

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def begun(schema: Mapping[str, object]) -> dict[str, object]:
    """The schema of arguments that are not all there yet, nor whole."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    plain = {name: {key: said[key] for key in ("type", "maxLength")} for name, said in properties.items()}
    return {"type": "object", "properties": plain, "additionalProperties": False}


def _refusing_bound(tool: Tool) -> dict[str, object]:
    """The advertised schema, which also refuses bound names where its author lets unknown fields pass."""
    properties = tool.input_schema.get("properties", {})
    assert isinstance(properties, dict)
    return {**tool.input_schema, "properties": {**properties, **dict.fromkeys(tool.bind, False)}}


def _errors(validator: "Validator", value: object) -> "Iterable[ValidationError]":
    """All errors of a small value, the first of a large one: finding all is linear in their number."""
    from jsonschema_rs import ValidationError

    if len(orjson.dumps(value)) <= _MAX_EXPLAINED:
        return validator.iter_errors(value)
    try:
        validator.validate(value)
    except ValidationError as error:
        return [error]
    return []
