"""What of another server's blocks is shown as it is, and what is not."""

import json

import pytest

from mcp_guard.connect.content import blocks_of

PNG = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
SHOWN = [
    PNG,
    {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
    {"type": "text", "text": "hello"},
    {"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "text/plain"},
    {"type": "resource", "resource": {"uri": "file:///a", "text": "hello", "mimeType": "text/plain"}},
]


@pytest.mark.holds("upstream:content")
@pytest.mark.parametrize("block", SHOWN)
def test_what_can_be_shown_is_shown_without_what_nobody_named(block: dict[str, object]) -> None:
    assert blocks_of({"content": [{**block, "_meta": {"x": 1}, "annotations": {"priority": 1}}]}) == (block,)


@pytest.mark.holds("upstream:content")
@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "aGk=", "mimeType": "image/svg+xml"},
        {"type": "image", "data": "aGk=", "mimeType": "audio/wav"},
        {"type": "image", "data": "<script>", "mimeType": "image/png"},
        {"type": "image", "data": "", "mimeType": "image/png"},
        {"type": "image", "data": ["aGk="], "mimeType": "image/png"},
        {"type": "image", "mimeType": "image/png"},
        {"type": "resource_link", "uri": 1, "name": "a"},
        {"type": "resource", "resource": {"uri": "file:///a", "blob": "aGk="}},
        {"type": "resource", "resource": None},
        {"type": "text"},
        {"type": ["text"]},
        {"type": "surprise"},
        {},
    ],
)
def test_what_cannot_be_shown_is_text(block: dict[str, object]) -> None:
    (shown,) = blocks_of({"content": [block]})
    assert shown["type"] == "text"
    assert json.loads(str(shown["text"])) == block


@pytest.mark.parametrize(
    "value", [{}, {"content": "text"}, {"content": ["x"]}, {"content": [PNG], "more": 1}, {"n": 1}]
)
def test_other_values_have_no_blocks(value: dict[str, object]) -> None:
    assert blocks_of(value) == ()
