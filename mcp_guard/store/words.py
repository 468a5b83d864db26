"""Words of a text, for finding: one way to take a text apart, whatever does the looking up.

SQLite's own tokenisers follow the Unicode tables it was built with, Python's those of its version. So a text is taken
apart here, and the full-text index is given words with blanks between them: its `ascii` tokeniser parts text nowhere
else, because what is not ASCII belongs to a word there.
"""

import re
import sqlite3
import unicodedata
from functools import cache, lru_cache

from mcp_guard.store.queries import statements

_ASCII_WORD = re.compile(r"[0-9a-z]+")


@lru_cache(maxsize=4096)
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


def match(start: str) -> str:
    """The full-text query for words that begin so. Words are letters and digits, so no operator can stand in one."""
    return f'"{start}"*'


@cache
def has_index() -> bool:
    """Whether this Python's SQLite was built with FTS5. Without it, text is looked for in the records themselves."""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute(statements()["words_possible"]).fetchone())
    finally:
        connection.close()
