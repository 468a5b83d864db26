"""One trace id on everything a call leaves: the answer, the record, the log line and the upstream's request."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.demo.home import copy_home, seed
from mcp_guard.demo.sandbox import Sandbox
from tests.server.conftest import ERAS, TRANSPORTS, Connect, Desk
from tests.simulators.process import Program, Serving
from tests.simulators.raw import META, exchange, request
from tests.simulators.upstream import UpstreamSimulator, answer
from tests.store.helpers import lines

ID = "0af7651916cd43dd8448eb211c80319c"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "b7ad6b7169203331"
TRACE_KEY = "mcp-guard/trace"
LOOK: dict[str, Any] = {"order_id": "ORD-1001"}

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]


def parent(trace: str = ID) -> str:
    return f"00-{trace}-{SPAN}-01"


@pytest.mark.holds("trace:one-id")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_the_answer_and_the_record_say_the_callers_trace(
    transport: str, era: str, connect: Connect, served: Desk
) -> None:
    async with connect(transport, era) as client:
        told = await client.call_tool("orders_get", LOOK, meta={"traceparent": parent()})  # type: ignore[arg-type]
        silent = await client.call_tool("orders_get", LOOK)
    assert told.meta is not None
    assert told.meta[TRACE_KEY] == ID
    assert TRACE_KEY not in (silent.meta or {})
    call = told.meta["mcp-guard/receipt"]["call"]
    done = served.program.run("--json", "audit", "query", "--trace", ID, "--call", call)
    assert [(record["call"], record["trace"]) for record in done.json["records"]] == [(call, ID)]


async def traced(served: Desk, meta: dict[str, object], *headers: str) -> object:
    """The trace of one modern call, as its record has it."""
    params = {"name": "orders_get", "arguments": LOOK, "_meta": {**META, **meta}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    port = served.serving.port
    got = await exchange(port, request(port, body, token=served.tokens["alice"], extra=headers))
    assert got.status == 200
    result: Any = got.json["result"]
    assert not result["isError"]
    records = map(json.loads, lines(served.program.home / "var" / "guard.db"))
    (record,) = (one for one in records if one.get("call") == result["_meta"]["mcp-guard/receipt"]["call"])
    assert record.get("trace") == result["_meta"].get(TRACE_KEY)
    return record.get("trace")


@pytest.mark.holds("trace:message-before-header")
async def test_a_header_counts_where_the_message_says_nothing(served: Desk) -> None:
    assert await traced(served, {}, f"traceparent: {parent()}") == ID
    assert await traced(served, {"traceparent": parent()}, f"traceparent: {parent(OTHER)}") == ID
    assert await traced(served, {"traceparent": "nonsense"}, f"traceparent: {parent(OTHER)}") is None
    assert await traced(served, {}, f"traceparent: {parent()}", f"traceparent: {parent(OTHER)}") is None


@pytest.mark.holds("trace:strict")
@pytest.mark.parametrize(
    "value", ["", "00", parent("0" * 32), parent().upper(), parent() + "\r\nx: y", None, 7, [parent()], "x" * 100_000]
)
async def test_an_invalid_one_is_as_good_as_none(served: Desk, value: object) -> None:
    assert await traced(served, {"traceparent": value}) is None


TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
tools:
"""
TOOL = """\
  - name: {name}
    description: For a test.
    inputSchema: {{type: object, properties: {{}}}}
    outputSchema: {{type: object, properties: {{count: {{type: integer}}}}}}
    effects: none
    http: {{url: "{url}", egress: {{networks: [127.0.0.0/8]}}{more}}}
"""


@dataclass(frozen=True)
class Tracing:
    program: Program
    upstream: UpstreamSimulator
    token: str
    serving: Serving

    async def call(self, tool: str) -> Any:
        params = {"name": tool, "arguments": {}, "_meta": {**META, "traceparent": parent()}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        got = await exchange(self.serving.port, request(self.serving.port, body, token=self.token, tool=tool))
        return got.json["result"]


@pytest.fixture
def tracing(tmp_path: Path, payments: Sandbox, payments_secret: str) -> Iterator[Tracing]:
    """A home with two tools of one upstream whose answers break their schema; one of them passes traces on."""
    home = copy_home(tmp_path / "desk", payments.port)
    seed(home, payments_secret)
    with UpstreamSimulator() as upstream:
        upstream.behaviour = answer({"count": "many"})
        passing = TOOL.format(name="told", url=upstream.url(), more=", trace: true")
        tools = TOOLS + passing + TOOL.format(name="untold", url=upstream.url(), more="")
        (home / "tool_manifests" / "tracing.yaml").write_text(tools, encoding="utf-8")
        rules = home / "policy" / "policy.csv"
        rows = [
            f"p, {act}-{tool}, user:alice, *, acme, {act}, {tool}, True, allow, -, for a test\n"
            for act in ("list", "call")
            for tool in ("told", "untold")
        ]
        rules.write_text(rules.read_text(encoding="utf-8") + "".join(rows), encoding="utf-8")
        program = Program(home)
        with program.http() as serving:
            yield Tracing(program, upstream, program.token("user:alice", "--client", "agent:local"), serving)


@pytest.mark.holds("trace:one-id", "trace:onward")
async def test_one_id_links_answer_record_log_line_and_upstream(tracing: Tracing) -> None:
    result = await tracing.call("told")
    assert result["structuredContent"]["guard"]["code"] == "output_invalid"
    call = result["structuredContent"]["guard"]["call"]
    assert result["_meta"][TRACE_KEY] == ID
    version, trace, span, flags = str(tracing.upstream.last.header("traceparent")).split("-")
    assert (version, trace, flags) == ("00", ID, "01")
    assert span not in (SPAN, "0" * 16)
    records = [json.loads(line) for line in lines(tracing.program.home / "var" / "guard.db")]
    assert [record["trace"] for record in records if record.get("call") == call] == [ID]
    tracing.serving.process.terminate()
    tracing.serving.process.wait(timeout=60)
    said = tracing.serving.said.read_text(encoding="utf-8")
    (line,) = (line for line in said.splitlines() if "does not match outputSchema" in line)
    assert f"trace={ID}" in line
    assert f"call={call}" in line


@pytest.mark.holds("trace:onward")
async def test_an_upstream_is_told_of_a_trace_only_where_its_manifest_says_so(tracing: Tracing) -> None:
    result = await tracing.call("untold")
    assert result["_meta"][TRACE_KEY] == ID
    assert tracing.upstream.hits == 1
    assert "traceparent" not in {name.lower() for name, _ in tracing.upstream.last.headers}
