"""The `sql` connector of a manifest: one statement, fixed text, named parameters."""

import re
from collections.abc import Iterator
from pathlib import Path

from mcp_guard.kit import references
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.document import Sql
from mcp_guard.manifest.home import HomeFiles, file_in_home
from mcp_guard.manifest.report import Report
from mcp_guard.model.tool import SqlSpec

# Everything a parameter cannot stand in is one token; the rest is taken character by character.
_TOKENS = re.compile(
    r"""(?P<skip>--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\s+)
    |(?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
    |(?P<foreign>\?[0-9]*|[@$:#][A-Za-z0-9_:]*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_READS = frozenset({"SELECT", "VALUES"})
_BREAKS = frozenset({";", "'", '"', "`", "["})  # a second statement, or a quote that is never closed
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})


def compile_sql(
    entry: Sql, arguments: Arguments, report: Report, home: Path, reserved: HomeFiles
) -> tuple[SqlSpec | None, frozenset[str]]:
    """The statement of a tool and the arguments it uses; problems go to the report."""
    path = _database(entry.database, report.at("database"), home, reserved)
    used = _check_statement(entry, arguments, report.at("statement"))
    if path is None:
        return None, used
    return SqlSpec("sql", str(path), entry.readonly, entry.statement, entry.max_rows), used


def writes(statement: str) -> bool:
    """Whether a statement changes data."""
    return _verb(statement) in _WRITES


def _database(text: str, report: Report, home: Path, reserved: HomeFiles) -> Path | None:
    scheme, _, rest = text.partition(":")
    if scheme in ("postgresql", "postgres"):
        report.error("unsupported", "postgresql is not supported by this version", "use sqlite:PATH")
        return None
    if references.OPENING in text:
        report.error("reference_place", "a secret reference may stand in a header value only", "write sqlite:PATH")
        return None
    if scheme != "sqlite":
        report.error("value", "expected sqlite:PATH", "for example sqlite:var/orders.db")
        return None
    if any(character in rest for character in "?#%"):
        report.error("path", "a database is named by its path alone", "remove ?, # and %")
        return None
    return file_in_home(rest, home, reserved, report)


def _check_statement(entry: Sql, arguments: Arguments, report: Report) -> frozenset[str]:
    if references.OPENING in entry.statement:
        report.error("reference_place", "a secret reference may stand in a header value only", "remove it")
        return frozenset()
    verb = _verb(entry.statement)
    if verb is None:
        report.error(
            "statement",
            "expected one SELECT, VALUES, INSERT, UPDATE, DELETE or REPLACE statement",
            "ATTACH, PRAGMA, VACUUM and changes to the schema are not for tools",
        )
    elif verb in _WRITES and entry.readonly:
        report.error("readonly", f"{verb} on a database that is opened read-only", "write readonly: false")
    used = set()
    for kind, text in _tokens(entry.statement):
        if kind == "parameter" and arguments.check_name(text[1:], report):
            arguments.check_scalar(text[1:], report)
            used.add(text[1:])
        elif kind == "foreign":
            report.error(
                "parameter", "parameters are written :name", "name the argument; ?, @x and $x are not understood"
            )
        elif text in "{}":
            report.error("template", "a statement is fixed text", "use :name parameters")
    return frozenset(used)


def _verb(statement: str) -> str | None:
    """What the only statement of a text does, or `None` where it is none, more than one, or of another kind."""
    tokens = [(kind, text.upper()) for kind, text in _tokens(statement)]
    if tokens and tokens[-1][1] == ";":
        tokens.pop()
    if not tokens or any(text in _BREAKS for _, text in tokens):
        return None
    first = tokens[0][1]
    if first in _READS or first in _WRITES:
        return first
    return _verb_after_with(tokens) if first == "WITH" else None


def _verb_after_with(tokens: list[tuple[str, str]]) -> str | None:
    """The main verb behind common table expressions, whose bodies are in brackets."""
    depth = 0
    for kind, text in tokens:
        depth += (text == "(") - (text == ")")
        if depth == 0 and kind == "word" and (text in _READS or text in _WRITES):
            return text
    return None


def _tokens(statement: str) -> Iterator[tuple[str, str]]:
    """Words, parameters and punctuation outside strings, quoted names and comments."""
    for match in _TOKENS.finditer(statement):
        kind = match.lastgroup
        if kind is not None and kind != "skip":
            yield kind, match.group()
