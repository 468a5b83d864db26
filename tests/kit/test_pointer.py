"""RFC 6901, with the examples of its section 5."""

import pytest

from mcp_guard.kit import pointer

DOCUMENT: dict[str, object] = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "m~n": 8}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/m~0n", 8),
        ("/foo/2", pointer.MISSING),
        ("/foo/-1", pointer.MISSING),
        ("/foo/00", pointer.MISSING),
        ("/foo/01", pointer.MISSING),
        ("/foo/0/x", pointer.MISSING),
        ("/nope", pointer.MISSING),
    ],
)
def test_get(path: str, value: object) -> None:
    assert pointer.get(DOCUMENT, path) == value


def test_replace_copies() -> None:
    changed = pointer.replace(DOCUMENT, "/foo/1", lambda old: f"{old}!")
    assert changed == {**DOCUMENT, "foo": ["bar", "baz!"]}
    assert DOCUMENT["foo"] == ["bar", "baz"]
    assert pointer.replace(DOCUMENT, "/nope/x", lambda _: 1) is DOCUMENT


def test_join_is_the_inverse_of_parse() -> None:
    assert pointer.join(pointer.parse("/a~1b/m~0n/0")) == "/a~1b/m~0n/0"
    with pytest.raises(ValueError, match="starts with"):
        pointer.parse("foo")
