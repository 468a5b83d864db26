"""What does not match a schema, in words: where and what was expected, never the value that was given."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from mcp_guard.kit import pointer
from mcp_guard.kit.text import visible
from mcp_guard.manifest import suggest

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

MAX_VIOLATIONS = 10
_MAX_TOKEN = 64
_MAX_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Violation:
    """`pointer` names the place in the value; names a stranger made up are shortened and made visible."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


def violations(errors: "Iterable[ValidationError]", known: Iterable[str] = ()) -> list[Violation]:
    """At most `MAX_VIOLATIONS` of them. `known` are the names of the root's properties, for a did-you-mean."""
    names = tuple(known)
    found = (violation for error in errors for violation in _explain(error, names))
    return list(islice(found, MAX_VIOLATIONS))


def _explain(error: "ValidationError", names: tuple[str, ...]) -> Iterable[Violation]:
    path, details = error.instance_path, error.kind.as_dict()
    match error.kind.name:
        case "required":
            yield Violation(_place([*path, details["property"]]), "is required")
        case "additionalProperties" | "unevaluatedProperties":
            for name in details["unexpected"]:
                yield Violation(_place([*path, name]), _unknown(name, () if path else names))
        case "falseSchema":
            yield Violation(_place(path), "is not a known field")
        case "type":
            yield Violation(_place(path), f"expected {' or '.join(details['types'])}, not {_type_name(error.instance)}")
        case kind:
            explain = _MESSAGES.get(kind)
            yield Violation(_place(path), explain(details) if explain else f"does not satisfy `{kind or 'schema'}`")


def _unknown(name: str, names: tuple[str, ...]) -> str:
    near = suggest.closest(name, names)
    return f"is not a known field; did you mean {near}?" if near else "is not a known field"


def _place(path: Iterable[str | int]) -> str:
    return pointer.join(_token(token) for token in path)


def _token(token: str | int) -> str | int:
    if isinstance(token, int):
        return token
    return visible(token if len(token) <= _MAX_TOKEN else token[: _MAX_TOKEN - 1] + "…")


def _type_name(value: object) -> str:
    for kind, name in _TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return "null" if value is None else "number"


def _shown(value: object) -> str:
    text = visible(str(value))
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _options(details: Mapping[str, object]) -> str:
    options = details["options"]
    assert isinstance(options, list)
    return f"expected one of: {_shown(', '.join(str(option) for option in options))}"


# Order matters: a bool is an int in Python.
_TYPE_NAMES = ((bool, "boolean"), (str, "string"), (int, "integer"), (list, "array"), (dict, "object"))

# Limits, options and patterns come from the schema, which whoever called can read anyway.
_MESSAGES: dict[str, Callable[[Mapping[str, object]], str]] = {
    "enum": _options,
    "const": lambda details: f"expected the constant {_shown(details['expected_value'])}",
    "minimum": lambda details: f"must be at least {details['limit']}",
    "maximum": lambda details: f"must be at most {details['limit']}",
    "exclusiveMinimum": lambda details: f"must be greater than {details['limit']}",
    "exclusiveMaximum": lambda details: f"must be less than {details['limit']}",
    "multipleOf": lambda details: f"must be a multiple of {details['multiple_of']}",
    "minLength": lambda details: f"must have at least {details['limit']} characters",
    "maxLength": lambda details: f"must have at most {details['limit']} characters",
    "pattern": lambda details: f"must match the pattern {_shown(details['pattern'])}",
    "format": lambda details: f"expected the format {details['format']}",
    "minItems": lambda details: f"must have at least {details['limit']} items",
    "maxItems": lambda details: f"must have at most {details['limit']} items",
    "uniqueItems": lambda _: "items must differ from each other",
    "contains": lambda _: "must contain an item of the expected form",
    "minProperties": lambda details: f"must have at least {details['limit']} fields",
    "maxProperties": lambda details: f"must have at most {details['limit']} fields",
    "propertyNames": lambda _: "has a field whose name is not allowed",
    "anyOf": lambda _: "matches none of the allowed forms",
    "oneOf": lambda _: "must match exactly one of the allowed forms",
    "not": lambda _: "matches a form that is not allowed",
}
