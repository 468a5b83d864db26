"""Answers that are no text: only what a tool names, only what it says it is, and no secret in it."""

from base64 import b64decode

import pytest

from mcp_guard.connect.content import blocks_of
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.model.tool import HttpSpec
from tests.connect.tools import http, invocation, tool
from tests.simulators.upstream import Behaviour, UpstreamSimulator, echo, text

SECRET = "sk_live_Zq8+vT/41=x"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + bytes(range(256))
CONTENT = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0 x",
    "image/gif": b"GIF89a x",
    "image/webp": b"RIFF\n\r\x00\x01WEBP x",
    "audio/wav": b"RIFF\n\r\x00\x01WAVE x",
    "audio/mpeg": b"ID3 x",
    "audio/ogg": b"OggS\x00 x",
    "audio/flac": b"fLaC x",
    "application/pdf": PDF,
}
ALL = tuple(CONTENT)


@pytest.fixture
def environ() -> dict[str, str]:
    return {"MCP_GUARD_SECRET_KEY": SECRET}


async def call(means: Means, spec: HttpSpec) -> object:
    return (await connect(tool(spec), means).invoke(invocation())).value


@pytest.mark.holds("http:media")
@pytest.mark.parametrize("kind", ALL)
async def test_an_answer_becomes_a_block_that_clients_show(
    means: Means, upstream: UpstreamSimulator, kind: str
) -> None:
    upstream.behaviour = text(CONTENT[kind], kind=kind)
    value = await call(means, http(upstream.url(), media=(kind,)))
    assert isinstance(value, dict)
    (block,) = blocks_of(value)
    assert block == value["content"][0]
    resource = block.get("resource")
    shown = resource if isinstance(resource, dict) else block
    assert shown["mimeType"] == kind
    assert b64decode(str(shown.get("blob") or shown["data"])) == CONTENT[kind]
    assert upstream.last.header("accept") == kind


async def test_a_document_is_named_by_its_content(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = text(PDF, kind="application/pdf; x=y")
    value = await call(means, http(upstream.url("/private/7"), media=("application/pdf",)))
    assert "ni:///sha-256;" in str(value)
    assert "private" not in str(value)


async def test_no_content_is_null(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = text("", status=204, kind=None)
    assert await call(means, http(upstream.url(), media=ALL)) is None


@pytest.mark.holds("http:media", "connect:strict-answers")
@pytest.mark.parametrize(
    "behaviour",
    [
        text(PNG, kind="image/svg+xml"),
        text(PNG, kind="application/octet-stream"),
        text(PNG, kind=None),
        text(PNG, kind="image/png\x0b"),
        text(PNG, kind="image/jpeg"),
        text(b" " + PNG, kind="image/png"),
        text("<html><script>", kind="image/png"),
        text("<svg/>", kind="image/png"),
        text('{"content": []}', kind="application/json"),
        text("<html>", kind="text/html"),
        text("plain", kind="text/plain"),
        *(text(content[:2], kind=kind) for kind, content in CONTENT.items()),
    ],
)
async def test_what_is_not_what_it_says_is_refused(
    means: Means, upstream: UpstreamSimulator, behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    with pytest.raises(Failed) as failed:
        await call(means, http(upstream.url(), media=ALL))
    assert failed.value.code == "upstream_bad_response"


@pytest.mark.holds("http:media", "secrets:redacted")
@pytest.mark.parametrize("before", [PNG, PNG + "é".encode(), PNG + b"\xff\xfe"])
async def test_a_picture_with_a_secret_in_it_is_refused(
    means: Means, upstream: UpstreamSimulator, before: bytes
) -> None:
    upstream.behaviour = text(before + SECRET.encode() + b"x", kind="image/png")
    spec = http(upstream.url(), headers={"Authorization": "Bearer ${secret:key}"}, media=ALL)
    with pytest.raises(Failed, match="holds a secret") as failed:
        await call(means, spec)
    assert "Zq8" not in str(failed.value)
    upstream.behaviour = echo(500)
    with pytest.raises(Failed) as failed:
        await call(means, spec)
    assert "Zq8" not in failed.value.reason


async def test_a_tool_that_names_none_takes_none(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = text(PNG, kind="image/png")
    with pytest.raises(Failed, match="neither JSON nor text"):
        await call(means, http(upstream.url()))
    assert upstream.last.header("accept") == "application/json"
