"""`matches(text, pattern)`: a glob over the whole text."""

import re
from collections.abc import Callable

MAX_TEXT = 65_536
MAX_PATTERN = 256
Find = Callable[[str, int], int]


def matches(text: object, pattern: object) -> bool:
    """Whether the whole `text` fits `pattern`, where `*` is any run of characters (also none) and `?` exactly one.

    Case matters; nothing else is special. Greedy from the left without backtracking. Texts over 65,536 characters
    are a `TypeError`: nobody writes a rule for them.
    """
    if type(pattern) is not str:
        raise TypeError("matches wants texts")
    return bind_matches(pattern)(text)


def bind_matches(pattern: str) -> Callable[[object], bool]:
    """`matches` for a fixed pattern. Raises `ValueError` where it is longer than 256 characters."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    first, *rest = pattern.split("*")
    head = _anchored(first)
    if not rest:
        return _checked(lambda text: len(text) == len(first) and head(text, 0))
    last = rest.pop()
    tail = _anchored(last)
    middle = [(len(part), _finder(part)) for part in rest if part]

    def fits(text: str) -> bool:
        end = len(text) - len(last)
        if end < len(first) or not head(text, 0) or not tail(text, end):
            return False
        at = len(first)
        for length, find in middle:
            at = find(text, at)
            if at < 0:
                return False
            at += length
        return at <= end

    return _checked(fits)


def _checked(fits: Callable[[str], bool]) -> Callable[[object], bool]:
    def judge(text: object) -> bool:
        if type(text) is not str or len(text) > MAX_TEXT:
            raise TypeError("matches wants a text of reasonable length")
        return fits(text)

    return judge


def _anchored(part: str) -> Callable[[str, int], bool]:
    """Whether a part without `*` stands at an offset."""
    if "?" not in part:
        return lambda text, at: text.startswith(part, at)
    compiled = _fixed_length(part)
    return lambda text, at: compiled.match(text, at) is not None


def _finder(part: str) -> Find:
    """The leftmost place of a part without `*` at or after an offset, or -1."""
    if "?" not in part:
        return lambda text, at: text.find(part, at)
    compiled = _fixed_length(part)

    def find(text: str, at: int) -> int:
        found = compiled.search(text, at)
        return found.start() if found else -1

    return find


def _fixed_length(part: str) -> re.Pattern[str]:
    """Literals and single wildcards only, so a match attempt never backtracks."""
    return re.compile("".join("." if character == "?" else re.escape(character) for character in part), re.DOTALL)
