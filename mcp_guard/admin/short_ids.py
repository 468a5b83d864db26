"""Ids by a beginning of theirs, as git takes them: long enough, and only where it names one."""

import re
from collections.abc import Sequence

from mcp_guard.model.errors import UsageError

MOST_NAMED = 8
"""How many candidates an ambiguous beginning is answered with."""
_BEGINNING = re.compile("[0-9a-f]{4,32}")


def can_begin(text: str) -> bool:
    """Whether a text is a beginning of an id, of four characters at least."""
    return _BEGINNING.fullmatch(text) is not None


def the_one(text: str, found: Sequence[str], missing: UsageError) -> str:
    """The id that is meant among those `found` to begin so. Raises `missing` where there is none, and `UsageError`
    naming the candidates where there are several."""
    if text in found:
        return text
    if not found:
        raise missing
    if len(found) > 1:
        named = ", ".join(sorted(found)[:MOST_NAMED]) + (", …" if len(found) > MOST_NAMED else "")
        raise UsageError(f"Several ids begin with {text}.", hint=f"say more of it: {named}")
    return found[0]
