"""Did you mean …?"""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 64  # matching is quadratic in the length, and nobody means a name longer than this


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like a misspelt one, or `None`."""
    if len(word) > _LONGEST:
        return None
    found = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def hint(word: str, known: Iterable[str]) -> str:
    """`did you mean x?`, or the words that are known."""
    names = sorted(known)
    near = closest(word, names)
    if near is not None:
        return f"did you mean {near}?"
    return f"known here: {', '.join(names)}" if names else ""
