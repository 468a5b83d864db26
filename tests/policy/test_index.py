"""The words of the `tool` column that mean a tool."""

import pytest

from mcp_guard.policy.index import Tools

WORDS = ["*", "orders_*", "orders_get", "orders_get_*", "o*", "risk:low", "toolset:mail", "audit:*"]
TOOLS = Tools.of(WORDS, {"orders_get": frozenset({"risk:low", "risk:unused"}), "mail": frozenset({"toolset:mail"})})


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ("orders_get", {"orders_get", "risk:low", "*", "o*", "orders_*"}),
        ("orders_get_all", {"*", "o*", "orders_*", "orders_get_*"}),
        ("mail", {"toolset:mail", "*"}),
        ("audit:records", {"audit:*", "*"}),
        ("risk:low", {"risk:low", "*"}),
        ("unknown", {"*"}),
        ("orders_*", {"*", "o*", "orders_*"}),
        ("", {"*"}),
        ("*", {"*"}),
    ],
)
def test_words_that_name_a_tool(tool: str, expected: set[str]) -> None:
    found = TOOLS.naming(tool)
    assert set(found) == expected
    assert len(found) == len(expected)
