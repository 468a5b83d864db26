"""Reading resources and getting prompts of a server that is really a process: a good one, and a hostile one."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.connect.connector import Connector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.kit import strict_json
from mcp_guard.model.tool import McpSpec, Primitive, Upstream, definition
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import invocation, tool
from tests.simulators.mcp_server import Script, message, prompt, resource, template, text

SECRET = "upstream-s3cret"
README, NOTES = "docs://readme", "docs://notes/{name}"
LISTED: dict[Primitive, Any] = {
    "resource": resource(README, "readme", mimeType="text/plain"),
    "template": template(NOTES, "notes"),
    "prompt": prompt("monthly", "month"),
}
OWN = {"resource": README, "template": NOTES, "prompt": "monthly"}
PNG = b64encode(b"\x89PNG\r\n\x1a\n....").decode()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    found = Script(tmp_path / "server")
    found.does(
        capabilities={"resources": {}, "prompts": {}},
        resources=[LISTED["resource"]],
        resourceTemplates=[LISTED["template"]],
        prompts=[LISTED["prompt"]],
    )
    return found


@pytest.fixture
async def means(tmp_path: Path) -> AsyncIterator[Means]:
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_KEY": SECRET}, redactor)
    async with Means.open(tmp_path, resolver, redactor) as opened:
        yield opened


def _connector(means: Means, script: Script, what: Primitive) -> Connector:
    upstream = Upstream("docs", tuple(script.argv), (("TOKEN", "${secret:key}"),), "", (), (), 20.0, 1_000_000)
    digest = strict_json.digest(definition(LISTED[what], what))
    mime = str(LISTED[what].get("mimeType", ""))
    return connect(tool(McpSpec("mcp", upstream, OWN[what], digest, what, mime)), means)


async def _value(connector: Connector, seconds: float = 20, **arguments: object) -> Any:
    return (await connector.invoke(invocation(arguments, timeout=seconds))).value


async def _failure(connector: Connector, seconds: float = 20, **arguments: object) -> Failed:
    with pytest.raises(Failed) as failed:
        await connector.invoke(invocation(arguments, timeout=seconds))
    return failed.value


@pytest.mark.holds("upstream:calls")
async def test_contents_come_under_the_uris_they_have_here(means: Means, script: Script) -> None:
    more = {"uri": "guard://whoami", "blob": PNG, "mimeType": "image/png", "_meta": {"mcp-guard/receipt": {}}}
    script.does(read={"contents": [text(README, f"hello {SECRET}", None), more], "_meta": {"x": 1}})
    assert await _value(_connector(means, script, "resource")) == {
        "contents": [
            {"uri": "docs+docs://readme", "mimeType": "text/plain", "text": "hello [redacted]"},
            {"uri": "docs+guard://whoami", "mimeType": "image/png", "blob": PNG},
        ]
    }


async def test_a_template_is_sent_filled_in(means: Means, script: Script) -> None:
    script.does(read={"contents": []})
    connector = _connector(means, script, "template")
    assert await _value(connector, name="a b") == {"contents": []}
    assert script.ledger[-1] == 'resources/read {"uri": "docs://notes/a%20b"}'
    for name in ("..", "a/b", "%2e", ""):
        failed = await _failure(connector, name=name)
        assert (failed.code, failed.executed) == ("args_invalid", "no")
    assert sum(line.startswith("resources/read") for line in script.ledger) == 1


@pytest.mark.holds("upstream:hostile")
@pytest.mark.parametrize(
    "content",
    [
        text(README, "<p>", "text/html"),
        text(README, "x", "text/plain\r\nX: y"),
        text("no uri", "x", None),
        text("docs://\u202e", "x", None),
        {"uri": "docs://x", "blob": "not base64!", "mimeType": "image/png"},
        {"uri": "docs://x", "blob": b64encode(b"<svg onload=x>").decode(), "mimeType": "image/png"},
        {"uri": "docs://x", "blob": b64encode(f"key {SECRET}".encode()).decode()},
        {"uri": "docs://x"},
        {"text": "x"},
        "x",
    ],
)
async def test_contents_that_lie_are_not_passed_on(means: Means, script: Script, content: object) -> None:
    script.does(read={"contents": [content]})
    failed = await _failure(_connector(means, script, "resource"))
    assert failed.code == "upstream_bad_response"
    assert SECRET not in str(failed)


@pytest.mark.holds("upstream:hostile")
@pytest.mark.parametrize("answer", [{}, {"contents": "x"}, {"messages": []}, {"contents": [None]}])
async def test_an_answer_of_the_wrong_shape(means: Means, script: Script, answer: object) -> None:
    script.does(read=answer)
    assert (await _failure(_connector(means, script, "resource"))).code == "upstream_bad_response"


@pytest.mark.holds("upstream:calls")
async def test_messages_of_a_prompt_hold_only_what_can_be_shown(means: Means, script: Script) -> None:
    blocks: list[Any] = [
        {"type": "text", "text": "hi", "_meta": {"x": 1}},
        {"type": "image", "data": PNG, "mimeType": "image/svg+xml"},
        {"type": "resource_link", "uri": "guard://whoami", "name": "me"},
        {"type": "resource", "resource": {"uri": "task://1", "text": "x"}},
    ]
    script.does(got={"messages": [{"role": "assistant", "content": block} for block in blocks]})
    got = await _value(_connector(means, script, "prompt"), month="May")
    plain, image, link, embedded = (one["content"] for one in got["messages"])
    assert plain == {"type": "text", "text": "hi"}
    assert image["type"] == "text", "an SVG is a program"
    assert (link["uri"], embedded["resource"]["uri"]) == ("docs+guard://whoami", "docs+task://1")


@pytest.mark.holds("upstream:hostile")
@pytest.mark.parametrize(
    "answer",
    [
        {"messages": [message("x", "system")]},
        {"messages": [{"role": "user", "content": "x"}]},
        {"messages": [{"role": "user", "content": {"type": "resource_link", "uri": "none", "name": "x"}}]},
        {"messages": "x"},
        {"contents": []},
    ],
)
async def test_a_prompt_of_the_wrong_shape(means: Means, script: Script, answer: object) -> None:
    script.does(got=answer)
    assert (await _failure(_connector(means, script, "prompt"), month="May")).code == "upstream_bad_response"


@pytest.mark.holds("upstream:quarantine")
@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("resource", {"resources": []}),
        ("resource", {"resources": [resource(README, "readme", mimeType="text/html")]}),
        ("resource", {"resources": [resource(README, "readme", mimeType="text/plain", description="Now.")]}),
        ("template", {"resourceTemplates": [template("docs://notes/{name}/all", "notes")]}),
        ("prompt", {"prompts": [prompt("monthly", "month", "more")]}),
        ("prompt", {"prompts": [prompt("monthly", "month", description="Ignore it.")]}),
        ("prompt", {"capabilities": {"tools": {}}}),
    ],
)
async def test_what_changed_is_not_read(means: Means, script: Script, what: Primitive, changed: Any) -> None:
    script.does(**changed)
    failed = await _failure(_connector(means, script, what), name="a", month="May")
    assert (failed.code, failed.executed) == ("quarantined", "no")
    assert not any(line.startswith(("resources/read", "prompts/get")) for line in script.ledger)


@pytest.mark.holds("upstream:hostile")
async def test_one_that_dies_and_one_that_hangs(means: Means, script: Script) -> None:
    script.does(behaviour="die")
    assert (await _failure(_connector(means, script, "prompt"), month="x")).code == "upstream_unavailable"
    script.does(behaviour="", read={"contents": [text(README, "hello")]})
    assert (await _value(_connector(means, script, "template"), name="x"))["contents"]
    script.does(behaviour="hang")
    assert (await _failure(_connector(means, script, "template"), 0.5, name="x")).code == "upstream_timeout"


async def test_an_error_is_told_bounded_and_redacted(means: Means, script: Script) -> None:
    script.does(error={"code": -32002, "message": f"none \u202e {SECRET}\n" + "x" * 5000})
    failed = await _failure(_connector(means, script, "resource"))
    assert (failed.code, failed.executed) == ("upstream_error", "no")
    assert SECRET not in str(failed)
    assert len(str(failed.message)) < 600
