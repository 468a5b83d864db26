"""What another server asks a person, as it may be shown, and what counts as an answer.

The text is ours: it names the server, and quotes its words line by line, so that nothing in them can look like a line
of ours. The fields are made anew from what MCP allows (2025-11-25, client/elicitation): flat, of simple types, bounded.
Ours is the last one: clients accept forms unseen, empty or with the first choice, and neither sends anything.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_guard.connect.mcp.secrets_asked import is_sensitive_name, is_sensitive_text
from mcp_guard.kit.text import first_hidden, strip_hidden, visible
from mcp_guard.model.back_channel import Form

SEND: Final = "mcp_guard_send"
"""The field of ours. Only `YES` in it sends what was entered."""
YES: Final = "yes"
NO: Final = "no"

MOST_FIELDS: Final = 20
MOST_CHOICES: Final = 50
LONGEST_CHOICE: Final = 100
LONGEST_TITLE: Final = 80
LONGEST_DESCRIPTION: Final = 300
LONGEST_LINE: Final = 200
MOST_LINES: Final = 20
LONGEST_VALUE: Final = 2_000
LONGEST_TEXT: Final = 10_000
"""A question with a longer text is not looked at: looking takes time."""
LARGEST_NUMBER: Final = 2.0**53
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_FORMATS: Final = frozenset({"email", "uri", "date", "date-time"})
_WORDS: Final = frozenset({"type", "title", "description", "default"})
_AROUND: Final = frozenset(
    {"type", "properties", "required", "title", "description", "$schema", "additionalProperties"}
)

Redact = Callable[[str], str]
Parts = Mapping[str, object]


class NotAskedError(Exception):
    """A question nobody is asked. `why` is a word of ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def form(upstream: str, tool: str, params: Mapping[str, object] | None, redact: Redact) -> Form:
    """The form for an `elicitation/create` of a server. Raises `NotAskedError`: `mode`, `schema`, `sensitive`."""
    said = params or {}
    message, schema = said.get("message"), said.get("requestedSchema")
    if said.get("mode", "form") != "form":
        raise NotAskedError("mode")
    message = _text(message)
    if not isinstance(schema, Mapping) or set(schema) - _AROUND:
        raise NotAskedError("schema")
    if is_sensitive_text(message):
        raise NotAskedError("sensitive")
    fields, required = schema.get("properties"), schema.get("required", [])
    if schema.get("type") != "object" or not isinstance(fields, Mapping) or len(fields) > MOST_FIELDS or SEND in fields:
        raise NotAskedError("schema")
    if not isinstance(required, list) or not all(isinstance(name, str) and name in fields for name in required):
        raise NotAskedError("schema")
    made = {name: _Field(upstream, name, found, redact).made() for name, found in fields.items()}
    properties = made | {SEND: _ours(upstream)}
    return Form(
        _message(upstream, tool, message, redact),
        {"type": "object", "properties": properties, "required": [*required, SEND]},
    )


def _ours(upstream: str) -> Mapping[str, object]:
    description = "yes sends what was entered here; anything else sends nothing"
    return {"type": "string", "title": f"Send this to {upstream}?", "description": description, "enum": [NO, YES]}


def _message(upstream: str, tool: str, said: str, redact: Redact) -> str:
    lines = _redacted(said, redact).split("\n")
    quoted = [f"> {visible(line)[:LONGEST_LINE]}" for line in lines[:MOST_LINES]]
    more = [] if len(lines) <= MOST_LINES else ["(it says more, which is not shown)"]
    head = (
        f'The server "{upstream}" asks you this while it carries out its tool {visible(tool)[:64]}. '
        "Nobody else vouches for it: its words are behind >. Do not enter passwords, keys or codes."
    )
    return "\n".join([head, "", *quoted, *more])


class _Field:
    """One field of a form, made anew."""

    def __init__(self, upstream: str, name: object, found: object, redact: Redact) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(found, Mapping):
            raise NotAskedError("schema")
        self._upstream = upstream
        self._name = name
        self._found: Parts = found
        self._redact = redact

    def made(self) -> Mapping[str, object]:
        """Raises `NotAskedError`."""
        title, description = self._text("title"), self._text("description")
        if is_sensitive_name((self._name, title)) or is_sensitive_text(description):
            raise NotAskedError("sensitive")
        head: dict[str, object] = {"title": f"{self._upstream}: {self._shown(title or self._name, LONGEST_TITLE)}"}
        if description:
            head["description"] = f"> {self._shown(description, LONGEST_DESCRIPTION)}"
        return head | self._typed()

    def _typed(self) -> dict[str, object]:
        kind, found = self._found.get("type"), self._found
        if kind == "string" and ("enum" in found or "oneOf" in found):
            self._only("enum", "enumNames", "oneOf")
            return {"type": "string", **self._choices(found, "oneOf")}
        if kind == "string":
            self._only("minLength", "maxLength", "format")
            longest = min(self._whole("maxLength", LONGEST_VALUE), LONGEST_VALUE)
            text: dict[str, object] = {"type": "string", "minLength": self._whole("minLength", 0), "maxLength": longest}
            if "format" in found:
                text["format"] = self._one_of(found["format"], _FORMATS)
            return text
        if kind in ("number", "integer"):
            self._only("minimum", "maximum")
            return {"type": kind, **{key: _number(found[key]) for key in ("minimum", "maximum") if key in found}}
        if kind == "boolean":
            self._only()
            return {"type": "boolean"}
        if kind == "array":
            return self._several()
        raise NotAskedError("schema")

    def _several(self) -> dict[str, object]:
        self._only("items", "minItems", "maxItems")
        items = self._found.get("items")
        if not isinstance(items, Mapping) or set(items) - {"type", "enum", "anyOf"}:
            raise NotAskedError("schema")
        if items.get("type", "string") != "string":
            raise NotAskedError("schema")
        most = min(self._whole("maxItems", MOST_CHOICES), MOST_CHOICES)
        choices = self._choices(items, "anyOf")
        typed = {"type": "string", **choices} if "enum" in choices else choices
        return {"type": "array", "items": typed, "minItems": self._whole("minItems", 0), "maxItems": most}

    def _choices(self, found: Parts, titled: str) -> Mapping[str, object]:
        """Choices, and what they are called. A choice is answered as it is, so one that cannot be shown is refused."""
        if "enum" in found and titled not in found:
            names = found.get("enumNames")
            choices = [self._choice(one) for one in _list(found["enum"])]
            if names is None:
                return {"enum": choices}
            shown = [self._shown(_text(one), LONGEST_CHOICE) for one in _list(names)]
            if len(shown) != len(choices):
                raise NotAskedError("schema")
            return {"enum": choices, "enumNames": shown}
        if "enum" in found:
            raise NotAskedError("schema")
        pairs = []
        for one in _list(found.get(titled)):
            if not isinstance(one, Mapping) or set(one) != {"const", "title"}:
                raise NotAskedError("schema")
            pairs.append(
                {"const": self._choice(one["const"]), "title": self._shown(_text(one["title"]), LONGEST_CHOICE)}
            )
        return {titled: pairs}

    def _choice(self, value: object) -> str:
        text = _text(value)
        if len(text) > LONGEST_CHOICE or visible(text) != text or self._redact(text) != text:
            raise NotAskedError("schema")
        return text

    def _only(self, *allowed: str) -> None:
        if set(self._found) - _WORDS - set(allowed):
            raise NotAskedError("schema")

    def _text(self, key: str) -> str:
        return _text(self._found.get(key, ""))

    def _shown(self, text: str, longest: int) -> str:
        return visible(_redacted(text, self._redact))[:longest]

    def _whole(self, key: str, default: int) -> int:
        found = self._found.get(key, default)
        if type(found) is not int or found < 0:
            raise NotAskedError("schema")
        return found

    @staticmethod
    def _one_of(value: object, allowed: frozenset[str]) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise NotAskedError("schema")
        return value


def _redacted(text: str, redact: Redact) -> str:
    """A text without secrets: also without those that hidden characters keep from being recognised."""
    plain = strip_hidden(text)[0]
    clean = redact(plain)
    return clean if clean != plain else redact(text)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise NotAskedError("schema")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_CHOICES:
        raise NotAskedError("schema")
    return value


def _number(value: object) -> int | float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:  # type: ignore[operator]  # it is a number
        raise NotAskedError("schema")
    return value  # type: ignore[return-value]  # and here too


def has_hidden(value: object) -> bool:
    """Whether an answer has characters that whoever entered it cannot have seen."""
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and first_hidden(text) is not None for text in texts)
