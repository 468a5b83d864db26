"""Characters that deceive are found, stripped or shown."""

import pytest

from mcp_guard.kit.text import first_hidden, strip_hidden, visible


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\u2066", "\U000e0041", "\ufeff", "\u00ad", "\u3164"])
def test_hidden_characters(hidden: str) -> None:
    assert first_hidden(f"ab{hidden}c") == 2
    assert strip_hidden(f"a{hidden}b{hidden}") == ("ab", 2)
    assert f"<U+{ord(hidden):04X}>" in visible(f"a{hidden}b")


def test_ordinary_text_is_left_alone() -> None:
    for text in ("Straße", "日本語", "a\U0001f600b", "tab\there"):
        assert first_hidden(text) is None
        assert strip_hidden(text) == (text, 0)


def test_visible_is_one_line_without_control() -> None:
    assert visible("a\x1b[31mb\r\nc\x00") == "a<U+001B>[31mb\\r\\nc<U+0000>"
