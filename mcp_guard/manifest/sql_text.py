"""SQL as a fixed text: what a statement does, and where its parameters stand, without understanding the rest of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mcp_guard.kit import references
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.report import Report


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a statement is cut into tokens: `skip` (nothing can stand in it), `parameter`, `foreign`, `word`, others.

    `reads` and `writes` are the verbs a tool may use; `scalars` says that an argument is a single value.
    """

    tokens: re.Pattern[str]
    reads: frozenset[str]
    writes: frozenset[str]
    breaks: frozenset[str]
    scalars: bool
    foreign: str
    """What to write instead of a foreign parameter."""


# Everything a parameter cannot stand in is one token; the rest is taken character by character.
SQLITE = Dialect(
    tokens=re.compile(
        r"""(?P<skip>--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\s+)
    |(?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
    |(?P<foreign>\?[0-9]*|[@$:#][A-Za-z0-9_:]*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<other>.)""",
        re.DOTALL | re.VERBOSE,
    ),
    reads=frozenset({"SELECT", "VALUES"}),
    writes=frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"}),
    breaks=frozenset({";", "'", '"', "`", "["}),  # a second statement, or a quote that is never closed
    scalars=True,
    foreign="name the argument; ?, @x and $x are not understood",
)

# PostgreSQL 18, section 4.1: dollar quotes, E'' with backslashes, casts; comments nest, and such ones are refused.
POSTGRES = Dialect(
    tokens=re.compile(
        r"""(?P<skip>--[^\n]*|/\*(?:(?!/\*|\*/).)*\*/|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"
        |\$((?:[A-Za-z_][A-Za-z0-9_]*)?)\$.*?\$\2\$|\s+)
    |(?P<open>/\*|\$[A-Za-z0-9_]*\$|[eE]')
    |(?P<cast>::|:=)
    |(?P<parameter>:[A-Za-z_][A-Za-z0-9_]*)
    |(?P<foreign>\$[0-9]+)
    |(?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    |(?P<other>.)""",
        re.DOTALL | re.VERBOSE,
    ),
    reads=frozenset({"SELECT", "VALUES"}),
    writes=frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"}),
    breaks=frozenset({";", "'", '"', "/*"}),
    scalars=False,
    foreign="name the argument; $1 is not understood",
)


def check_statement(
    statement: str, readonly: bool, arguments: Arguments, dialect: Dialect, report: Report
) -> frozenset[str]:
    """Report what is not one fixed statement for tools; the arguments it uses."""
    if references.OPENING in statement:
        report.error("reference_place", "a secret reference may stand in a header value only", "remove it")
        return frozenset()
    found = verb(statement, dialect)
    verbs = ", ".join((*sorted(dialect.reads), *sorted(dialect.writes)))
    if found is None:
        hint = "ATTACH, PRAGMA, VACUUM and changes to the schema are not for tools"
        report.error("statement", f"expected one statement, with one of {verbs}", hint)
    elif writes(statement, dialect) and readonly:
        report.error("readonly", f"{found} on a database that is opened read-only", "write readonly: false")
    used = set()
    for kind, text in _tokens(statement, dialect):
        if kind == "parameter" and arguments.check_name(text[1:], report):
            if dialect.scalars:
                arguments.check_scalar(text[1:], report)
            used.add(text[1:])
        elif kind == "foreign":
            report.error("parameter", "parameters are written :name", dialect.foreign)
        elif text in "{}":
            report.error("template", "a statement is fixed text", "use :name parameters")
    return frozenset(used)


def verb(statement: str, dialect: Dialect) -> str | None:
    """What the only statement of a text does, or `None` where it is none, more than one, or of another kind."""
    tokens = [(kind, text.upper()) for kind, text in _tokens(statement, dialect)]
    if tokens and tokens[-1][1] == ";":
        tokens.pop()
    if not tokens or any(text in dialect.breaks or kind == "open" for kind, text in tokens):
        return None
    first = tokens[0][1]
    found = first if first in dialect.reads | dialect.writes else None
    if first == "WITH":
        found = _verb_after_with(tokens, dialect)
    if found in dialect.reads and ("word", "INTO") in _outside(tokens) and not dialect.scalars:
        return None  # SELECT … INTO makes a table
    return found


def writes(statement: str, dialect: Dialect) -> bool:
    """Whether a statement changes data, also in a common table expression (`WITH x AS (DELETE …)`)."""
    if verb(statement, dialect) in dialect.writes:
        return True
    tokens = [text.upper() for _, text in _tokens(statement, dialect)]
    nested = any(before == "(" and text in dialect.writes for before, text in pairwise(tokens))
    return nested and dialect is POSTGRES


def positional(statement: str, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1`, `$2`, … for its parameters, and their names in this order."""
    names: list[str] = []
    text = ""
    for match in dialect.tokens.finditer(statement):
        if match.lastgroup != "parameter":
            text += match.group()
            continue
        name = match.group()[1:]
        if name not in names:
            names.append(name)
        text += f"${names.index(name) + 1}"
    return text, tuple(names)


def _verb_after_with(tokens: list[tuple[str, str]], dialect: Dialect) -> str | None:
    """The main verb behind common table expressions, whose bodies are in brackets."""
    verbs = dialect.reads | dialect.writes
    return next((text for kind, text in _outside(tokens) if kind == "word" and text in verbs), None)


def _outside(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The tokens that stand in no bracket."""
    depth, found = 0, []
    for kind, text in tokens:
        depth += (text == "(") - (text == ")")
        if depth == 0:
            found.append((kind, text))
    return found


def _tokens(statement: str, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Words, parameters and punctuation outside strings, quoted names and comments."""
    for match in dialect.tokens.finditer(statement):
        kind = match.lastgroup
        if kind is not None and kind != "skip":
            yield kind, match.group()
