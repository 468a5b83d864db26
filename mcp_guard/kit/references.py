"""`${secret:name}`, `${env:NAME}`, `${file:/path}`: where a secret is meant, never the secret. Pure grammar.

`${token:call}` and `${token:exchange}` mean a credential that is made out for one call.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["secret", "env", "file", "token"]

_FORMS = re.compile(
    r"\$\{(?:(secret):([a-zA-Z0-9][a-zA-Z0-9_.-]{0,127})|(env):([A-Za-z_][A-Za-z0-9_]{0,127})"
    r"|(file):(/[^{}\x00-\x1f]{1,1024})|(token):(call|exchange))\}"
)
WHOLE_REFERENCE = (
    r"^\$\{(secret:[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}|env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/[^{}\x00-\x1f]{1,1024})\}$"
)
"""A value that is one reference to a secret and nothing else."""

NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$"
OPENING = "${"
KINDS: tuple[Kind, ...] = ("secret", "env", "file", "token")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference. `name` is a secret's name, a variable, an absolute path, or `call` or `exchange`."""

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
            raise ValueError(
                "a reference is written ${secret:name}, ${env:NAME}, ${file:/absolute/path} or ${token:call|exchange}"
            )
        if start > position:
            parts.append(text[position:start])
        parts.append(_reference(match))
        position = match.end()
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _reference(match: re.Match[str]) -> Reference:
    kind, name = (group for group in match.groups() if group is not None)
    return Reference(kind, name)  # type: ignore[arg-type]  # the grammar knows the kinds and no others
