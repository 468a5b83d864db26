"""What a client says of itself is text from a stranger."""

from types import SimpleNamespace

import pytest

from mcp_guard.server.software import MAX_TEXT, claimed


@pytest.mark.holds("identity:client-info-is-no-identity")
@pytest.mark.parametrize(
    ("name", "version", "shown"),
    [
        ("raw", "1", "raw 1"),
        ("", "", ""),
        ("a\nb", "\x1b[2J", "a\\nb <U+001B>[2J"),
        ("ali\u202ece", "1", "ali<U+202E>ce 1"),
        ("half \ud800", "1", "half ? 1"),
        ("x" * 5000, "1", "x" * MAX_TEXT),
    ],
)
def test_it_is_shown_as_one_bounded_line(name: str, version: str, shown: str) -> None:
    assert claimed(SimpleNamespace(name=name, version=version)) == shown
