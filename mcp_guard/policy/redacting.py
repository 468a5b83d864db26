"""What rows may hide of a tool's results, whoever calls it."""

from mcp_guard.policy import names
from mcp_guard.policy.snapshot import Rules


def redacted_tools(rules: Rules) -> frozenset[str]:
    """The tools of whose results some row hides something."""
    words = {row.tool for row in rules.rows if row.then.redact}
    return frozenset(tool for word in words for tool in names.tools_named(word, rules.tags, rules.tags))


def redacted_of(rules: Rules, tool: str) -> tuple[str, ...]:
    """The places that any row about a tool hides: at least what a decision about a call of it would."""
    rows = [row for row in rules.rows if row.then.redact]
    found = (row.then.redact for row in rows if names.tools_named(row.tool, [tool], rules.tags))
    return tuple(dict.fromkeys(place for each in found for place in each))
