"""Names: prefixed, plain, and never a role that acts."""

import pytest

from mcp_guard.policy import names


@pytest.mark.parametrize("text", ["user:alice", "service:billing", "agent:x", "role:support", "user:a.b+c@d-e_f"])
def test_who(text: str) -> None:
    assert names.is_who(text)


@pytest.mark.parametrize(
    "text", ["alice", "*", "user:", "user:a b", "user:*", "User:a", "user:а", "role:a\n", "user:" + "a" * 128]
)
def test_not_who(text: str) -> None:
    assert not names.is_who(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("agent:a", True), ("role:a", True), ("user:a", False), ("service:a", False)]
)
def test_via_names_agents(text: str, expected: bool) -> None:
    assert names.is_via(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("user:a", True), ("service:a", True), ("agent:a", True), ("role:a", False), ("*", False), ("", False)],
)
def test_a_role_is_nobody(text: str, expected: bool) -> None:
    assert names.is_principal(text) is expected


def test_suggestions_are_close_or_absent() -> None:
    assert names.did_you_mean("requireapproval", names.EFFECTS) == "did you mean require_approval?"
    assert names.did_you_mean("xyz", names.EFFECTS) == ""
    assert names.did_you_mean("a" * 10_000, names.EFFECTS) == ""
