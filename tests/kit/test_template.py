"""Placeholders are names of arguments and nothing else."""

import pytest

from mcp_guard.kit.template import Placeholder, names, parse


def test_parts() -> None:
    assert parse("/v1/{id}/x{{y}}") == ("/v1/", Placeholder("id"), "/x{y}")
    assert parse("{a}{b}") == (Placeholder("a"), Placeholder("b"))
    assert names("{a} and {b} and {a}") == {"a", "b"}


@pytest.mark.parametrize("text", ["{", "}", "{a", "{a.b}", "{a[0]}", "{}", "{a!r}", "{a:>10}", "{ a }", "{é}"])
def test_refuses_what_is_not_a_plain_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|placeholder"):
        parse(text)
