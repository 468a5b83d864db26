"""Templates of URIs (RFC 6570), as far as a URI can be taken apart by one again without doubt.

A rule is about the values, and a server is sent a URI: both have to mean the same. So only `{name}` and, at the end,
`{+name}` are known, two values are told apart by something that neither can hold, and a URI is never passed on as it
came but made anew from the values that were decided about.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

MAX_URI: Final = 2048
"""Characters of a URI."""
MAX_VARIABLES: Final = 16

_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_VARIABLE: Final = re.compile(r"(\+?)([A-Za-z_][A-Za-z0-9_]{0,62})")
_LITERAL: Final = re.compile(r"(?:[!#$&'()*+,\-./0-9:;=?@A-Z_a-z~]|\[|\]|%[0-9A-Fa-f]{2})*")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,62}:")
_AUTHORITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,62}://")
"""Behind this alone a value may begin with a slash, as in `file://{+path}`. Behind another slash it would be an empty
segment, which servers leave out or begin at their root with."""
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,62}:[\x21-\x7e]{1,1984}")
_SAFE: Final = re.compile(r"[^A-Za-z0-9._~-]")
"""What cannot stand in a value by itself (RFC 3986 section 2.3), and so tells two of them apart."""
_PLAIN: Final = r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+"
_RESERVED: Final = r"(?:[A-Za-z0-9._~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
_KEPT: Final = ":/@!$&'()*+,;="
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_DOTS: Final = re.compile(r"/\.{1,2}(?=[/?#]|\Z)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


class TemplateError(ValueError):
    """Why a template cannot be used."""


def is_uri(text: str) -> bool:
    """Whether a text is a URI as it can be listed: a scheme, and printable ASCII behind it (RFC 3986)."""
    return len(text) <= MAX_URI and _URI.fullmatch(text) is not None


class UriTemplate:
    """A template that takes apart exactly the URIs it makes. Immutable."""

    __slots__ = ("_pattern", "_rooted", "text", "variables")

    def __init__(self, text: str) -> None:
        """Raises `TemplateError`."""
        self.text = text
        literals, expressions = _parts(text)
        self.variables: Mapping[str, bool] = dict(expressions)
        """The names, and of which a value may hold slashes."""
        _check(literals, expressions)
        self._rooted = literals[-2].endswith("/") and _AUTHORITY.fullmatch(literals[-2]) is None
        wholes = [f"({_RESERVED if wide else _PLAIN})" for _, wide in expressions]
        pattern = "".join(re.escape(literal) + whole for literal, whole in zip(literals, [*wholes, ""], strict=True))
        self._pattern = re.compile(pattern)

    def values(self, uri: str) -> dict[str, str] | None:
        """The values a URI was made of; `None` where the template does not make it."""
        found = self._pattern.fullmatch(uri) if len(uri) <= MAX_URI else None
        if found is None:
            return None
        try:
            values = {
                name: unquote_to_bytes(text).decode() for name, text in zip(self.variables, found.groups(), strict=True)
            }
            return values if len(self.uri(values)) <= MAX_URI else None
        except ValueError:
            return None

    def uri(self, values: Mapping[str, object]) -> str:
        """The URI of these values. Raises `ValueError` for those that would lead elsewhere."""
        made = _EXPRESSION.sub(lambda found: self._placed(found.group(1), values), self.text)
        if _DOTS.search(unquote(made)):  # of a value and what stands before it
            raise ValueError("the values make a URI that leads elsewhere")
        return made

    def _placed(self, expression: str, values: Mapping[str, object]) -> str:
        name = expression.removeprefix("+")
        value, wide = values.get(name), self.variables[name]
        if not isinstance(value, str) or not _leads_nowhere(value, wide) or (self._rooted and value.startswith("/")):
            raise ValueError(f"{name} cannot be placed in the URI")
        return quote(value, safe=_KEPT if wide else "")


def _leads_nowhere(value: str, wide: bool) -> bool:
    """Whether a value is itself and no way to somewhere else: no dot segment, no slash, nothing escaped twice."""
    if _CONTROL.search(value) or _ESCAPE.search(value) or "\ufffd" in value:
        return False
    if wide:
        return all(part not in ("", ".", "..") for part in value.removeprefix("/").split("/"))
    return value not in ("", ".", "..") and "/" not in value


def _parts(text: str) -> tuple[list[str], list[tuple[str, bool]]]:
    pieces = _EXPRESSION.split(text)
    expressions = []
    for piece in pieces[1::2]:
        found = _VARIABLE.fullmatch(piece)
        if found is None:
            raise TemplateError("it has an expression other than {name} and {+name}")
        expressions.append((found.group(2), found.group(1) == "+"))
    return pieces[::2], expressions


def _check(literals: list[str], expressions: list[tuple[str, bool]]) -> None:
    if not all(_LITERAL.fullmatch(literal) for literal in literals):
        raise TemplateError("it is not a template of a URI")
    if _SCHEME.match(literals[0]) is None:
        raise TemplateError("its scheme is not fixed")
    if not expressions or len(expressions) > MAX_VARIABLES or len(dict(expressions)) < len(expressions):
        raise TemplateError(f"it has none, a repeated or more than {MAX_VARIABLES} variables")
    if any(wide for _, wide in expressions[:-1]) or (expressions[-1][1] and literals[-1]):
        raise TemplateError("{+name} stands elsewhere than at its end")
    if expressions[-1][1] and any("?" in literal for literal in literals):
        raise TemplateError("{+name} stands in a query, where a value could be several")
    if any(_SAFE.search(literal.replace("%", "")) is None for literal in literals[1:-1]):
        raise TemplateError("two of its variables cannot be told apart")
