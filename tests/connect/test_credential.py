"""`${token:…}` in headers: made out for each call, and gone from whatever comes back."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.factory import Means, connect
from mcp_guard.model.call import CredentialRequest
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Retry, Tool
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import http, invocation, tool
from tests.simulators.upstream import UpstreamSimulator, after, answer, echo, text

ALICE = Principal("user:alice", "agent:desktop", "acme", "oidc", "oidc", frozenset({"a:b", "c:d"}))
CALL = replace(invocation(), principal=ALICE)


class Maker:
    """Makes out an opaque credential for each request, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[CredentialRequest] = []
        self.failure: Refused | None = None
        self.forever = False

    async def issue(self, wanted: CredentialRequest) -> str:
        self.asked.append(wanted)
        if self.forever:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return f"credential/{wanted.kind}={len(self.asked)}"


@pytest.fixture
def maker() -> Maker:
    return Maker()


def _means(tmp_path: Path, maker: Maker | None) -> Means:
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_APP": "app-secret"}, redactor)
    return Means(tmp_path, resolver, redactor, issue=maker.issue if maker else None)


def _tool(upstream: UpstreamSimulator, headers: dict[str, str] | None = None, retry: Retry | None = None) -> Tool:
    spec = http(upstream.url("/x"), headers=headers or {"Authorization": "Bearer ${token:call}"})
    return replace(tool(spec, retry=retry), scopes=frozenset({"a:b"}))


@pytest.mark.holds("identity:outward-credential")
async def test_a_credential_is_asked_for_the_call_and_sent(
    tmp_path: Path, maker: Maker, upstream: UpstreamSimulator
) -> None:
    means = _means(tmp_path, maker)
    tested = _tool(
        upstream, {"Authorization": "Bearer ${token:call}", "X-Two": "${token:exchange}", "X-App": "${secret:app}"}
    )
    await connect(tested, means).invoke(CALL)
    assert maker.asked == [
        CredentialRequest(kind, ALICE, "call-1", "tested", frozenset({"a:b"}), f"http://127.0.0.1:{upstream.port}")
        for kind in ("call", "exchange")
    ]
    assert upstream.last.header("authorization") == "Bearer credential/call=1"
    assert (upstream.last.header("x-two"), upstream.last.header("x-app")) == ("credential/exchange=2", "app-secret")
    await means.aclose()


@pytest.mark.holds("identity:outward-credential")
async def test_every_attempt_has_its_own(tmp_path: Path, maker: Maker, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(text("{}", status=503), answer({"ok": True}))
    means = _means(tmp_path, maker)
    tested = _tool(upstream, retry=Retry(attempts=2, retry_on=frozenset({"5xx"}), backoff=0.001))
    await attempt(tested, connect(tested, means), CALL)
    assert [seen.header("authorization") for seen in upstream.requests] == [
        "Bearer credential/call=1",
        "Bearer credential/call=2",
    ]
    await means.aclose()


@pytest.mark.holds("identity:outward-credential")
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_what_comes_back_does_not_hold_it(
    status: int, tmp_path: Path, maker: Maker, upstream: UpstreamSimulator
) -> None:
    upstream.behaviour = echo(status)
    means = _means(tmp_path, maker)
    known = means.redactor.longest
    try:
        shown = repr((await connect(_tool(upstream), means).invoke(CALL)).value)
    except Refused as refused:
        shown = refused.reason
    assert "redacted" in shown
    assert "credential/call" not in shown
    assert means.redactor.longest == known, "what lives for a call is not remembered for ever"
    await means.aclose()


@pytest.mark.holds("identity:outward-credential")
async def test_no_credential_no_call(tmp_path: Path, maker: Maker, upstream: UpstreamSimulator) -> None:
    maker.failure = Refused("upstream_unavailable", "no credential", executed="no")
    for means, call in (
        (_means(tmp_path, maker), CALL),
        (_means(tmp_path, None), CALL),
        (_means(tmp_path, maker), invocation()),
    ):
        with pytest.raises(Refused) as refused:
            await connect(_tool(upstream), means).invoke(call)
        assert (refused.value.code, refused.value.executed) == ("upstream_unavailable", "no")
        await means.aclose()
    assert upstream.connections == 0


async def test_waiting_for_one_is_bounded_by_the_call(
    tmp_path: Path, maker: Maker, upstream: UpstreamSimulator
) -> None:
    maker.forever = True
    means = _means(tmp_path, maker)
    with pytest.raises(Refused) as refused:
        await connect(_tool(upstream), means).invoke(replace(CALL, timeout=0.05))
    assert (refused.value.code, refused.value.executed) == ("upstream_timeout", "no")
    assert upstream.connections == 0
    await means.aclose()


@pytest.mark.holds("observe:scoped-credentials")
async def test_no_credential_holds_a_scope_its_caller_does_not_hold(
    tmp_path: Path, maker: Maker, upstream: UpstreamSimulator
) -> None:
    """In observe mode a call goes on without the scopes of its tool, but it does not get them that way."""
    means = _means(tmp_path, maker)
    observed = replace(_tool(upstream), scopes=frozenset({"a:b", "x:y"}), mode="observe")
    await connect(observed, means).invoke(CALL)
    assert [wanted.scopes for wanted in maker.asked] == [frozenset({"a:b"})]
    await means.aclose()
