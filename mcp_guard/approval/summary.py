"""What people are shown of a call: one line a value, made by the server from bound values only.

Whoever asks writes these values. So every value stands quoted on one line of its own, with control, hidden and
bidirectional characters written out: nothing in it can look like a line of ours, like another value, or like an answer.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from mcp_guard.kit import pointer, strict_json
from mcp_guard.kit.text import visible

_PLAIN = re.compile("[A-Za-z0-9_.-]+")
LONGEST = 300
MOST_LINES = 40
HIDDEN = {"sensitive": "not shown here"}


def summary(
    tool: str,
    title: str | None,
    arguments: Mapping[str, object],
    sensitive: Collection[str],
    declared: Collection[str] = (),
) -> list[str]:
    """The lines. The full values are in `approvals show`; what is `sensitive` is never in a summary.

    Arguments whose names are `declared` come first: no others, however many and however named, push them out.
    """
    head = f"{tool} ({visible(title)})" if title else tool
    lines = [head]
    for name, value in sorted(_masked(arguments, sensitive).items(), key=lambda it: (it[0] not in declared, it[0])):
        if len(lines) > MOST_LINES:
            lines.append(f"… and {len(arguments) - MOST_LINES} more")
            break
        lines.append(f"{named(name)}: {quoted(value)}")
    return lines


def named(name: str) -> str:
    """An argument's name, which may come from whoever asks: it must not look like one with a value."""
    return name if _PLAIN.fullmatch(name) else quoted(name)


def masked(arguments: Mapping[str, object], sensitive: Collection[str]) -> Mapping[str, object]:
    """The arguments with every sensitive part replaced."""
    return _masked(arguments, sensitive)


def _masked(arguments: Mapping[str, object], sensitive: Collection[str]) -> Mapping[str, object]:
    value: object = dict(arguments)
    for where in _outermost(sensitive):
        if pointer.get(value, where) is not pointer.MISSING:
            value = pointer.replace(value, where, lambda _: HIDDEN)
    assert isinstance(value, Mapping)
    return value


def _outermost(pointers: Collection[str]) -> Iterator[str]:
    ordered = sorted(pointers, key=len)
    for position, where in enumerate(ordered):
        if not any(where.startswith(outer + "/") for outer in ordered[:position]):
            yield where


def quoted(value: object) -> str:
    """A value as JSON, which escapes quotes and line breaks; what JSON leaves readable is made visible."""
    text = visible(strict_json.dumps(value).decode())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
