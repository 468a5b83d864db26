"""Files that are sent: from one directory and nowhere else, as they are, and never held in memory whole."""

import os
from collections.abc import Mapping
from dataclasses import replace
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import FilePart, Request, Sending
from mcp_guard.connect.uploads import CHUNK, opened
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import FileSpec, HttpSpec
from tests.connect.test_render import rendered
from tests.connect.tools import http, invocation, tool
from tests.simulators.naughty import NAUGHTY
from tests.simulators.upstream import Seen, UpstreamSimulator, answer


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    within = tmp_path / "uploads"
    (within / "may").mkdir(parents=True)
    (within / "may" / "report.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (tmp_path / "secret").write_bytes(b"hunter2")
    return within


def sending(upstream: UpstreamSimulator, within: Path, most: int = 1024 * 1024) -> HttpSpec:
    file = FileSpec("{name}", str(within), "text/csv", most)
    return replace(http(upstream.url("/files"), method="POST"), file=file)


async def call(means: Means, spec: HttpSpec, arguments: Mapping[str, object]) -> object:
    return (await connect(tool(spec), means).invoke(invocation(arguments))).value


def parts_of(seen: Seen) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, type and bytes of every part."""
    head = f"Content-Type: {seen.header('content-type')}\r\n\r\n".encode()
    message: Any = BytesParser().parsebytes(head + seen.body)
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_param("filename", header="content-disposition"),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.get_payload()
    ]


@pytest.mark.holds("connect:uploads")
async def test_a_file_is_the_body(means: Means, upstream: UpstreamSimulator, uploads: Path) -> None:
    upstream.behaviour = answer({"ok": True})
    assert await call(means, sending(upstream, uploads), {"name": "may/report.csv"}) == {"ok": True}
    seen = upstream.last
    assert (seen.body, seen.header("content-type")) == (b"a,b\r\n1,2\r\n", "text/csv")
    assert (seen.header("content-length"), seen.header("transfer-encoding")) == ("10", None)


def _links(uploads: Path) -> None:
    (uploads / "link").symlink_to(uploads.parent / "secret")
    (uploads / "inner").symlink_to(uploads / "may" / "report.csv")
    (uploads / "out").symlink_to(uploads.parent)
    os.link(uploads.parent / "secret", uploads / "second")
    os.mkfifo(uploads / "pipe")


OUT = (
    *(
        "../secret",
        "may/../../secret",
        "./may/report.csv",
        "may//report.csv",
        "/etc/passwd",
        "may\\report.csv",
        ".",
        "..",
    ),
    *("link", "inner", "out/secret", "second", "pipe", "may", "may/report.csv/", "none", "", "a\0b", "a\nb", "\ud800"),
    "x" * 5000,
)


@pytest.mark.holds("connect:uploads-jail")
async def test_nothing_else_is_sent_wherever_it_is(means: Means, upstream: UpstreamSimulator, uploads: Path) -> None:
    _links(uploads)
    spec, told = sending(upstream, uploads), set[str]()
    for name in OUT:
        with pytest.raises(Refused) as refused:
            await call(means, spec, {"name": name})
        assert (refused.value.code, refused.value.executed) == ("args_invalid", "no"), name
        told.add(refused.value.reason)
    assert told == {"argument /name names no file that may be sent"}, "what is there is not told from what is not"
    assert (upstream.connections, upstream.hits) == (0, 0)


@pytest.mark.holds("connect:uploads-jail")
async def test_a_naughty_string_names_no_file(means: Means, upstream: UpstreamSimulator, uploads: Path) -> None:
    spec = sending(upstream, uploads)
    for name in NAUGHTY:
        with pytest.raises(Refused):
            await call(means, spec, {"name": name})
    assert upstream.connections == 0


@pytest.mark.holds("connect:uploads")
async def test_it_is_read_while_it_is_sent_and_no_more_than_may_be(
    means: Means, upstream: UpstreamSimulator, uploads: Path
) -> None:
    large = uploads / "large"
    large.write_bytes(b"0123456789abcdef" * (5 * CHUNK // 16) + b"end")
    upstream.behaviour = answer({"ok": True})
    await call(means, sending(upstream, uploads), {"name": "large"})
    assert upstream.last.body == large.read_bytes()
    with pytest.raises(Refused) as refused:
        await call(means, sending(upstream, uploads, most=5 * CHUNK), {"name": "large"})
    assert refused.value.reason == f"argument /name names a file larger than {5 * CHUNK} bytes"
    assert upstream.hits == 1


@pytest.mark.holds("connect:uploads")
async def test_a_file_that_grows_is_sent_as_long_as_it_was(uploads: Path) -> None:
    path = uploads / "changing"
    path.write_bytes(b"x" * 3 * CHUNK)
    async with opened(_request(uploads)) as ready:
        with path.open("ab") as file:
            file.write(b"more")
        assert isinstance(ready.body, Sending)
        assert b"".join([chunk async for chunk in ready.body.chunks]) == b"<" + b"x" * 3 * CHUNK + b">"
        assert ready.body.length == 3 * CHUNK + 2


@pytest.mark.holds("connect:uploads")
async def test_a_file_that_shrinks_ends_the_request(uploads: Path) -> None:
    path = uploads / "changing"
    path.write_bytes(b"x" * 3 * CHUNK)
    async with opened(_request(uploads)) as ready:
        os.truncate(path, CHUNK)
        assert isinstance(ready.body, Sending)
        with pytest.raises(Failed) as failed:
            _ = [chunk async for chunk in ready.body.chunks]
    assert (failed.value.code, failed.value.executed) == ("upstream_unavailable", "unknown")


def _request(uploads: Path) -> Request:
    return Request("POST", "http://h", "/", body=(b"<", FilePart(str(uploads), "changing", 10**6, "name"), b">"))


@pytest.mark.holds("connect:multipart")
async def test_parts_are_texts_and_files(means: Means, upstream: UpstreamSimulator, uploads: Path) -> None:
    file = FileSpec("may/{name}", str(uploads), "text/csv", 1000)
    parts = (("note", "{note}"), ("tag", "{tags}"), ('do"c', file), ("gone", "{gone}"), ("fixed", "a {note}"))
    spec = replace(http(upstream.url("/files"), method="POST"), multipart=parts)
    upstream.behaviour = answer({"ok": True})
    await call(means, spec, {"note": "ü\r\n--x", "tags": ["a", "b"], "name": "report.csv"})
    assert parts_of(upstream.last) == [
        ("note", None, "text/plain", "ü\r\n--x".encode()),
        ("tag", None, "text/plain", b"a"),
        ("tag", None, "text/plain", b"b"),
        ("do%22c", "report.csv", "text/csv", b"a,b\r\n1,2\r\n"),
        ("fixed", None, "text/plain", "a ü\r\n--x".encode()),
    ]
    first = upstream.last.header("content-type")
    await call(means, spec, {"note": "n", "tags": [], "name": "report.csv"})
    assert upstream.last.header("content-type") != first, "what ends a part is new for each request"


@pytest.mark.holds("connect:multipart")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40).filter(lambda text: text.isprintable() or "\n" in text), st.text(max_size=40))
def test_a_text_stays_in_its_part(one: str, two: str) -> None:
    spec = replace(http("http://h.example/", method="POST"), multipart=(("one", "{one}"), ("two", "{two}")))
    try:
        request = rendered(spec, one=one, two=two)
    except Refused:
        return
    assert isinstance(request.body, tuple)
    body = b"".join(part for part in request.body if isinstance(part, bytes))
    boundary = dict(request.headers)["content-type"].partition("boundary=")[2].encode()
    _, first, second, end = body.split(b"--" + boundary)
    assert (first.partition(b"\r\n\r\n")[2], second.partition(b"\r\n\r\n")[2]) == (
        one.encode() + b"\r\n",
        two.encode() + b"\r\n",
    )
    assert end == b"--\r\n"
