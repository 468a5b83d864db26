"""Places to be redacted against what tools say they give."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.policy.conftest import TOOLS, Files, row

GIVES: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        "note": {"type": "string"},
        "more": {"type": "object"},
        "extra": {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        "either": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a/b": {}}}]},
    },
    "$defs": {"row": {"type": "object", "properties": {"email": {"type": "string"}}}},
}


def _idle(files: Files, then: str, tool: str = "orders_get", results: Mapping[str, Any] | None = None) -> list[str]:
    found = files.lint(row(tool=tool, then=f"redact=[{then}]") + "\n", results=results or {"orders_get": GIVES})
    return [problem.message.split()[0] for problem in found if problem.code == "redact_idle"]


@pytest.mark.holds("policy:redact-lint")
def test_a_pointer_that_names_nothing_is_told(files: Files) -> None:
    assert _idle(files, "/rows/email, /nots, /rows/*/mail, /extra, /either/b") == [
        "/rows/email",
        "/nots",
        "/rows/*/mail",
        "/either/b",
    ]


@pytest.mark.holds("policy:redact-lint")
def test_nothing_is_said_where_it_may_name_something(files: Files) -> None:
    good = "/rows, /rows/*/email, /rows/0/email, /*/*/email, /note, /more/any/thing, /extra/x, /either/a~1b"
    assert _idle(files, good) == []
    open_ones = dict.fromkeys(TOOLS, GIVES) | {"mail_send": {"type": "object", "allOf": [{}]}}
    assert _idle(files, "/nots", "*", open_ones) == []
    assert _idle(files, "/nots", "orders_*") == [], "of one of its tools nothing is known"
    assert _idle(files, "/nots", "orders_*", dict.fromkeys(TOOLS, GIVES)) == ["/nots"]
