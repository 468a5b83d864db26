"""Words of a text, for finding: one way to take a text apart, whatever does the looking up.

SQLite's own tokenisers follow the Unicode tables it was built with, Python's those of its version. So a text is taken
apart here, and the full-text index is given ASCII only, in which neither a tokeniser nor its query language can see
anything but words.
"""

import re
import sqlite3
import unicodedata
from functools import cache

from mcp_guard.store.queries import statements

_ASCII_WORD = re.compile(r"[0-9a-z]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a text: runs of letters and digits, without case, accents and compatibility forms."""
    folded = text.casefold()
    if folded.isascii():
        return tuple(_ASCII_WORD.findall(folded))
    plain = unicodedata.normalize("NFKD", folded).casefold()
    return tuple("".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c)).split())


def has_word(text: str, start: str) -> bool:
    """Whether a word of the text begins so. `start` is itself one of `words`."""
    return any(word.startswith(start) for word in words(text))


def as_ascii(found: tuple[str, ...]) -> str:
    """Words for the full-text index. A beginning of a word is the beginning of its ASCII form; two words may share a
    form, so whoever looks up compares."""
    return " ".join(word if word.isascii() else "".join(map(_written_out, word)) for word in found)


def match(start: str) -> str:
    """The full-text query for words that begin so."""
    return f'"{as_ascii((start,))}"*'


def _written_out(character: str) -> str:
    return character if character.isascii() else f"x{ord(character):x}x"


@cache
def has_index() -> bool:
    """Whether this Python's SQLite was built with FTS5. Without it, text is looked for in the records themselves."""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute(statements()["words_possible"]).fetchone())
    finally:
        connection.close()
