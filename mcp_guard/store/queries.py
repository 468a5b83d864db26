"""SQL by name: every statement stands in a `.sql` file, under a line `-- name: …`, and nothing is ever glued to it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from sqlite3 import complete_statement

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_MIGRATION = re.compile(r"([0-9]{4})_[a-z_]+\.sql")


@cache
def statements() -> dict[str, str]:
    """All named statements. A name that stands twice is a programming error and raises `ValueError`."""
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.glob("*.sql")):
        for name, text in named(path.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"two statements are called {name}")
            found[name] = text
    return found


def named(text: str) -> Iterator[tuple[str, str]]:
    """The statements of one file, by name."""
    parts = _NAME.split(text)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        yield name, body.strip()


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The numbered migrations, in order; number n brings a file from schema version n-1 to n."""
    found = []
    for number, path in enumerate(sorted((_FOLDER / "migrations").glob("*.sql")), 1):
        match = _MIGRATION.fullmatch(path.name)
        if match is None or int(match.group(1)) != number:
            raise ValueError(f"migrations are called 0001_words.sql and counted without gaps; {path.name} is not")
        found.append((number, path.read_text(encoding="utf-8")))
    return tuple(found)


def split(script: str) -> Iterator[str]:
    """The single statements of a script, so that all of them can run in one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if complete_statement(statement):
            yield statement
            statement = ""
