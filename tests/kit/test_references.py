"""Where a secret is meant, never the secret."""

import pytest

from mcp_guard.kit.references import Reference, parse


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain $ {text}", ("plain $ {text}",)),
        ("${secret:payments_key}", (Reference("secret", "payments_key"),)),
        ("Bearer ${env:API_KEY}", ("Bearer ", Reference("env", "API_KEY"))),
        ("${file:/run/secrets/x}!", (Reference("file", "/run/secrets/x"), "!")),
        ("${secret:a}${secret:b}", (Reference("secret", "a"), Reference("secret", "b"))),
    ],
)
def test_a_text_is_split_into_literals_and_references(text: str, parts: tuple[object, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${secret}",
        "${secret:}",
        "${secret:a",
        "${vault:a}",
        "${secret: a}",
        "${env:A-B}",
        "${file:x}",
        "${SECRET:a}",
    ],
)
def test_what_opens_like_a_reference_is_one_or_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a reference is written") as caught:
        parse(f"hunter2 {text}")
    assert "hunter2" not in str(caught.value)
