"""Homes whose tools want credentials: what is made, what is refused, before anything is served."""

from pathlib import Path

import pytest

from mcp_guard.build import define, open_guard
from mcp_guard.config.load import load
from mcp_guard.identity.call_key import FILE
from mcp_guard.identity.protected_resource import KEYS_PATH
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Invalid
from tests.simulators.process import Program
from tests.simulators.upstream import UpstreamSimulator

TOOL = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: orders
tools:
  - name: orders_push
    description: Push an order.
    inputSchema: {{type: object, properties: {{}}}}
    http:
      method: POST
      url: "{url}"
      headers: {{Authorization: "Bearer {reference}"}}
      egress: {{networks: [127.0.0.0/8]}}
"""


def _add(desk: Program, reference: str, url: str = "https://upstream.example/") -> None:
    text = TOOL.format(reference=reference, url=url)
    (desk.home / "tool_manifests" / "push.yaml").write_text(text, encoding="utf-8")


@pytest.mark.holds("identity:exchange")
def test_an_exchange_nobody_makes_is_a_load_error(desk: Program) -> None:
    _add(desk, "${token:exchange}")
    with pytest.raises(Invalid) as refused:
        define(load(desk.home, environ={}))
    (problem,) = refused.value.problems
    assert (problem.code, problem.file) == ("token", "tool orders_push")
    assert "identity.oidc.exchange" in problem.hint


def test_no_key_is_made_unless_a_tool_asks_for_it(desk: Program) -> None:
    assert desk.run("call", "orders_get", "order_id=ORD-1001").status == 0
    assert not (desk.home / "var" / "keys" / FILE).exists()


@pytest.mark.holds("identity:call-token")
async def test_a_home_without_an_issuer_signs_too(desk: Program) -> None:
    with UpstreamSimulator() as upstream:
        _add(desk, "${token:call}", upstream.url())
        async with open_guard(load(desk.home, environ={}), serving=False, verbosity=-1) as guard:
            answer = await guard.call(guard.declare(None, None), ToolCall("c1", "orders_push", {}))
            assert not answer.is_error, answer.text
            assert (guard.protected_resource, set(guard.documents)) == (None, {KEYS_PATH})
        import jwt

        sent = (upstream.last.header("authorization") or "").removeprefix("Bearer ")
        claims = jwt.decode(sent, options={"verify_signature": False})
        assert (claims["iss"], claims["sub"], claims["jti"]) == ("urn:mcp-guard:support-desk", "user:alice", "c1")


@pytest.mark.holds("identity:call-key")
def test_a_key_others_can_read_stops_the_start(desk: Program) -> None:
    _add(desk, "${token:call}")
    assert desk.run("call", "orders_get", "order_id=ORD-1001").status == 0
    key: Path = desk.home / "var" / "keys" / FILE
    key.chmod(0o644)
    done = desk.run("call", "orders_get", "order_id=ORD-1001")
    assert done.status == 3
    assert "0600" in done.err
