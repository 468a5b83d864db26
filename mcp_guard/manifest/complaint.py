"""From pydantic's errors to ours.

Only `type`, `loc` and the schema's own `ctx` are read: pydantic's messages and `errors()` carry input values, and an
input value may be a secret.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mcp_guard.manifest import suggest
from mcp_guard.manifest.fields import Strict

Location = tuple[int | str, ...]

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "an integer",
    "float_type": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "a number greater than"),
    "greater_than_equal": ("ge", "a number of at least"),
    "less_than": ("lt", "a number less than"),
    "less_than_equal": ("le", "a number of at most"),
}
_UNSUPPORTED_HINT = "remove it; a key that is not enforced is never ignored"


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong at a location of the checked value."""

    location: Location
    code: str
    message: str
    hint: str = ""


def complaints(error: ValidationError, root: type[BaseModel]) -> Iterator[Complaint]:
    """Every error of one validation, in the order of the document's fields."""
    for detail in error.errors(include_url=False, include_input=False):
        yield _complaint(detail, root)


def _complaint(detail: ErrorDetails, root: type[BaseModel]) -> Complaint:
    kind, location, context = detail["type"], detail["loc"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(location, root)
    if kind == "missing":
        key = location[-1]
        return Complaint(location[:-1], "missing_key", f"the key {key} is missing", f"add {key}:")
    if kind == "unsupported":
        return Complaint(
            location, "unsupported", f"{context['what']} is not supported by this version", context["hint"]
        )
    if kind == "expected":
        return Complaint(location, "value", f"expected {context['expected']}")
    if kind == "literal_error":
        return Complaint(location, "value", f"expected {context['expected']}")
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return Complaint(location, "value", f"expected {words} {context[bound]}")
    if kind == "too_short":
        return Complaint(location, "value", f"expected at least {context['min_length']} of these")
    if kind == "string_too_short":
        return Complaint(location, "value", "expected a text that is not empty")
    if kind in ("too_long", "string_too_long"):
        return Complaint(location, "value", f"is too long; the limit is {context['max_length']}")
    if kind in _EXPECTED:
        hint = "put the value in quotes" if kind == "string_type" else "values are never converted"
        return Complaint(location, "type", f"expected {_EXPECTED[kind]}", hint)
    return Complaint(location, "value", "is not valid here")


def _unknown_key(location: Location, root: type[BaseModel]) -> Complaint:
    key = str(location[-1])
    model = _model_at(root, location[:-1])
    if model is not None and issubclass(model, Strict) and key in model.unsupported:
        return Complaint(location, "unsupported", f"{key} is not supported by this version", _UNSUPPORTED_HINT)
    known = [field.alias or name for name, field in model.model_fields.items()] if model is not None else []
    return Complaint(location, "unknown_key", "this key is not known here", suggest.hint(key, known))


def _model_at(root: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that describes the mapping at a location."""
    model: type[BaseModel] | None = root
    for token in location:
        if isinstance(token, int) or model is None:
            continue  # an index of a list: the model is already that of its items
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        model = _model_in(fields[token].annotation) if token in fields else None
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, tuple, Union, UnionType, Annotated):
        return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
    return None
