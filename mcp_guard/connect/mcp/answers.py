"""Whether what came back of a form is an answer to it: exactly its fields, each of its type and within its bounds."""

import math
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from mcp_guard.connect.mcp.forms import has_hidden

_MAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")


def is_answer(content: Mapping[str, object], schema: Mapping[str, Any]) -> bool:
    """`schema` is that of a form made by `forms.form`."""
    fields: Mapping[str, Mapping[str, Any]] = schema["properties"]
    if set(schema["required"]) - content.keys() or content.keys() - fields.keys():
        return False
    return all(_fits(value, fields[name]) and not has_hidden(value) for name, value in content.items())


def _fits(value: object, field: Mapping[str, Any]) -> bool:
    kind = field["type"]
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("number", "integer"):
        return _is_number(value, kind) and field.get("minimum", value) <= value <= field.get("maximum", value)
    if kind == "array":
        choices = _choices(field["items"])
        if not isinstance(value, list) or not field["minItems"] <= len(value) <= field["maxItems"]:
            return False
        return all(isinstance(one, str) and one in choices for one in value) and len(set(value)) == len(value)
    if not isinstance(value, str):
        return False
    if "enum" in field or "oneOf" in field:
        return value in _choices(field)
    return field["minLength"] <= len(value) <= field["maxLength"] and _is_of(value, field.get("format"))


def _choices(field: Mapping[str, Any]) -> Collection[str]:
    if "enum" in field:
        return list(field["enum"])
    return [one["const"] for one in field.get("oneOf", field.get("anyOf", ()))]


def _is_number(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    return isinstance(value, float) and math.isfinite(value) and (kind == "number" or value.is_integer())


def _is_of(text: str, kind: str | None) -> bool:
    try:
        if kind == "email":
            return _MAIL.fullmatch(text) is not None
        if kind == "uri":
            return bool(urlsplit(text).scheme) and " " not in text
        if kind == "date":
            return bool(date.fromisoformat(text))
        if kind == "date-time":
            return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
    return True
