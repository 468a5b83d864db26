"""`http` tools in a whole guard: what the configuration says of the way out is what holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard
from mcp_guard.cli.root import run
from mcp_guard.model.call import Answer, ToolCall
from tests.inside import opened, records, who
from tests.simulators.upstream import UpstreamSimulator, answer, text

TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
defaults: {{effects: none}}
tools:
  - name: first
    description: One tool of the shop.
    inputSchema: {{type: object, properties: {{}}}}
    http: {{url: "{upstream}first", egress: {{networks: [127.0.0.0/8]}}}}
  - name: second
    description: Another tool of the shop.
    inputSchema: {{type: object, properties: {{}}}}
    http: {{url: "{upstream}second", select: {{n: /a/n}}, egress: {{networks: [127.0.0.0/8]}}}}
"""
RULES = """\
p, shop-list, user:me, *, *, list, *, True, allow, -, the tools of the test
p, shop-call, user:me, *, *, call, *, True, allow, -, the tools of the test
"""


@pytest.fixture
def upstream() -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, upstream: UpstreamSimulator) -> Path:
    directory = tmp_path / "home"
    assert run(("--quiet", "init", str(directory))) == 0
    (directory / "tool_manifests" / "hello.yaml").write_text(TOOLS.format(upstream=upstream.url("/")))
    (directory / "policy" / "tests" / "hello.yaml").unlink()
    rules = (directory / "policy" / "policy.csv").read_text().splitlines(keepends=True)
    (directory / "policy" / "policy.csv").write_text("".join(row for row in rules if "hello" not in row) + RULES)
    return directory


async def call(guard: Guard, tool: str) -> Answer:
    return await guard.call(who(guard, "user:me"), ToolCall(guard.new_call_id(), tool, {}))


@pytest.mark.holds("http:breaker")
async def test_an_origin_is_left_alone_as_the_configuration_says_and_it_is_on_record(
    home: Path, upstream: UpstreamSimulator
) -> None:
    with (home / "mcp-guard.yaml").open("a") as config:
        config.write("egress: {breaker: {failures: 2, open: 10m}}\n")
    upstream.behaviour = text("{}", status=503)
    async with opened(home) as guard:
        for _ in range(2):
            assert (await call(guard, "first")).is_error
        upstream.behaviour = answer({})
        refused = await call(guard, "second")
        told: Any = refused.structured["guard"]
        assert (told["code"], told["executed"]) == ("upstream_unavailable", "no")
        assert 600 <= told["retry_after_s"] <= 900
    assert upstream.hits == 2
    ends = [(record["call"], record["code"]) for record in records(home, "outcome")]
    assert ends[-1] == (refused.call, "upstream_unavailable")


async def test_what_was_selected_is_the_result(home: Path, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = answer({"a": {"n": 1, "private": "x"}, "b": 2})
    async with opened(home) as guard:
        assert (await call(guard, "second")).structured == {"n": 1}


@pytest.mark.holds("http:media")
async def test_a_picture_is_shown_as_one(home: Path, upstream: UpstreamSimulator) -> None:
    manifest = home / "tool_manifests" / "hello.yaml"
    manifest.write_text(manifest.read_text().replace("select: {n: /a/n}", "media: [image/png]"))
    upstream.behaviour = text(b"\x89PNG\r\n\x1a\n", kind="image/png")
    async with opened(home) as guard:
        wire = (await call(guard, "second")).on_the_wire()
    assert wire["content"] == [{"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}]
    assert "structuredContent" not in wire
