"""What tools of other people have in common, whatever describes them."""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from pydantic import ValidationError

from mcp_guard.kit.text import first_hidden
from mcp_guard.manifest.lock import ToolDefinition
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.values import keys, strings
from mcp_guard.model.tool import Tool

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A tool by its name here; `tool` is missing where it has errors."""

    name: str
    tool: Tool | None


def matches(glob: str, name: str) -> bool:
    """Whether a name is one that a pattern means; `*` stands for any characters."""
    first, *rest = glob.split("*")
    if not rest:
        return glob == name
    *middle, last = rest
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:  # the first place is as good as any: time grows with the name alone
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def denies(glob: str, name: str) -> bool:
    """Whether a pattern of `deny` means a name, or would to a server that takes no notice of escapes in a URI, of
    capital letters, or of how a letter is composed: many file systems do not."""
    return matches(glob, name) or matches(_alike(glob), _alike(name))


def _alike(text: str) -> str:
    return unicodedata.normalize("NFKC", unquote(text)).casefold()


def is_strange(found: ToolDefinition, report: Report) -> bool:
    """Whether something is in a definition that people cannot see, and agents can; reports it."""
    for _, text in (*strings(dict(found)), *keys(dict(found))):
        offset = first_hidden(text)
        if offset is not None:
            character = f"U+{ord(text[offset]):04X}"
            report.error("hidden_character", f"its definition holds the hidden character {character}")
            return True
    return False


def explain(error: ValidationError, report: Report) -> None:
    """Which part cannot be used; what stands there is somebody else's and is not repeated."""
    parts = sorted({str(found["loc"][0]) if found["loc"] else "it" for found in error.errors(include_input=False)})
    hint = "say it under overrides:, or leave the tool out"
    report.error("definition", f"its {' and '.join(parts)} cannot be used as it was written", hint)
