"""`${secret:name}`, `${env:NAME}`, `${file:/path}`: where a secret is meant, never the secret. Pure grammar."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["secret", "env", "file"]

_FORMS = re.compile(
    r"\$\{(?:(secret):([a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})|(env):([A-Za-z_][A-Za-z0-9_]{0,127})|(file):(/[^{}\x00-\x1f]{1,1024}))\}"
)
OPENING = "${"
KINDS: tuple[Kind, ...] = ("secret", "env", "file")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference. `name` is a secret's name, a variable or an absolute path."""

    kind: Kind
    name: str


Part = str | Reference


def parse(text: str) -> tuple[Part, ...]:
    """Split a text into literals and references.

    Raises `ValueError` where `${` does not open a well-formed reference; the message never quotes the text.
    """
    parts: list[Part] = []
    position = 0
    while (start := text.find(OPENING, position)) != -1:
        match = _FORMS.match(text, start)
        if match is None:
            raise ValueError("a reference is written ${secret:name}, ${env:NAME} or ${file:/absolute/path}")
        if start > position:
            parts.append(text[position:start])
        parts.append(_reference(match))
        position = match.end()
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _reference(match: re.Match[str]) -> Reference:
    secret, name, env, variable, _, path = match.groups()
    if secret:
        return Reference("secret", name)
    return Reference("env", variable) if env else Reference("file", path)
