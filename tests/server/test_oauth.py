"""The guard as an OAuth resource server, from outside: a real issuer, a real upstream, a served home."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import jwt as pyjwt
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from mcp_guard.identity.protected_resource import KEYS_PATH, WELL_KNOWN
from tests.server.conftest import ERAS
from tests.simulators.issuer import AUDIENCE, IssuerSimulator
from tests.simulators.process import Program, Serving
from tests.simulators.raw import Answer, call_body, exchange, request
from tests.simulators.upstream import UpstreamSimulator, answer, text

METADATA = f'resource_metadata="https://guard.example{WELL_KNOWN}/mcp"'
READ = {"order_id": "ORD-1001"}
REFUND = {"order_id": "ORD-1002", "amount": 5}

TOOLS = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: ledger
tools:
  - name: ledger_note
    description: Make a note in the ledger.
    scopes: [ledger:write]
    inputSchema: {{type: object, properties: {{note: {{type: string}}}}, required: [note]}}
    http:
      method: POST
      url: "{upstream}"
      headers: {{Authorization: "Bearer ${{token:call}}"}}
      json: {{note: "{{note}}"}}
      egress: {{networks: [127.0.0.0/8]}}
  - name: ledger_ping
    description: Say that somebody is there.
    inputSchema: {{type: object, properties: {{}}}}
    http: {{method: POST, url: "{upstream}", egress: {{networks: [127.0.0.0/8]}}}}
  - name: ledger_post
    description: Post to the ledger of another company.
    scopes: [ledger:write]
    inputSchema: {{type: object, properties: {{}}}}
    http:
      method: POST
      url: "{upstream}"
      headers: {{Authorization: "Bearer ${{token:exchange}}"}}
      egress: {{networks: [127.0.0.0/8]}}
"""

POLICY = """
p, ledger-sees, role:support, role:trusted-agent, acme, list, toolset:ledger, True, allow, -, support keeps the ledger
p, ledger-calls, role:support, role:trusted-agent, acme, call, toolset:ledger, True, allow, -, support keeps the ledger
p, planner-sees, agent:planner, *, acme, list, toolset:orders, True, allow, -, the planner plans with orders
p, planner-reads, agent:planner, *, acme, call, toolset:orders, True, allow, -, the planner plans with orders
p, reckless-sees, agent:reckless, *, acme, list, toolset:orders, True, allow, -, it may look
p, reckless-stays-out, agent:reckless, *, acme, call, *, True, deny, -, nothing is done for a reckless agent
"""


@dataclass(frozen=True)
class Federated:
    """The example home with an issuer, two tools with credentials of the guard's own, and their upstream."""

    program: Program
    serving: Serving
    issuer: IssuerSimulator
    upstream: UpstreamSimulator

    def token(self, **claims: Any) -> str:
        """A good token of Alice through the trusted agent, but for what is changed."""
        return self.issuer.token(**{"client_id": "local", **claims})

    async def call(self, tool: str, arguments: object, token: str | None = None, body: bytes | None = None) -> Answer:
        presented = token if token is not None else self.token()
        data = request(self.serving.port, body or call_body(tool, arguments), token=presented, tool=tool)
        return await exchange(self.serving.port, data)

    async def get(self, path: str) -> Answer:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.serving.port}\r\n\r\n"
        return await exchange(self.serving.port, head.encode())

    def records(self, call: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.program.run("--json", "audit", "show", call).json["records"]
        return found


def _result(answered: Answer) -> dict[str, Any]:
    result: Any = answered.json["result"]
    return dict(result)


def _guard(answered: Answer) -> dict[str, Any]:
    return dict(_result(answered)["structuredContent"]["guard"])


@pytest.fixture(scope="module")
def federated(
    tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str
) -> Iterator[Federated]:
    home = copy_home(tmp_path_factory.mktemp("federated") / "desk", payments.port)
    seed(home, payments_secret)
    with IssuerSimulator(now_s=int(time.time())) as issuer, UpstreamSimulator() as upstream:
        config = home / "mcp-guard.yaml"
        oidc = {
            "issuer": issuer.name,
            "audience": AUDIENCE,
            "networks": ["127.0.0.0/8"],
            "scopes": ["orders:read"],
            "exchange": {
                "token_endpoint": f"{issuer.name}/token",
                "client_id": "guard",
                "client_secret": "${secret:exchange}",
            },
        }
        config.write_text(config.read_text().replace("identity:\n", f"identity:\n  oidc: {json.dumps(oidc)}\n"))
        (home / "tool_manifests" / "ledger.yaml").write_text(TOOLS.format(upstream=upstream.url("/notes")))
        with (home / "policy" / "policy.csv").open("a") as rules:
            rules.write(POLICY)
        secret = home / "var" / "secrets" / "exchange"
        secret.touch(mode=0o600)
        secret.write_text("s3cret-of-the-exchange")
        program = Program(home)
        with program.http() as serving:
            yield Federated(program, serving, issuer, upstream)


@pytest.mark.holds("identity:oidc")
async def test_an_access_token_is_a_principal_on_record(federated: Federated) -> None:
    answered = await federated.call("orders_get", READ)
    assert answered.status == 200
    result = _result(answered)
    assert result["structuredContent"]["rows"][0]["item"] == "standing desk"
    (record,) = federated.records(result["_meta"]["mcp-guard/receipt"]["call"])
    assert record["actor"] == {
        "sub": "user:alice",
        "via": "agent:local",
        "tenant": "acme",
        "auth": "oidc",
        "assurance": "oidc",
        "software": "raw 1",
    }


@pytest.mark.holds("identity:client-info-is-no-identity")
async def test_what_a_client_calls_itself_is_not_who_it_is(federated: Federated) -> None:
    body = call_body("orders_get", READ).replace(b'"name": "raw"', b'"name": "agent:root"')
    answered = await federated.call("orders_get", READ, body=body)
    (record,) = federated.records(_result(answered)["_meta"]["mcp-guard/receipt"]["call"])
    assert (record["actor"]["via"], record["actor"]["software"]) == ("agent:local", "agent:root 1")


@pytest.mark.parametrize("era", ERAS)
async def test_a_session_outlives_the_token_it_was_opened_with(era: str, federated: Federated) -> None:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {federated.token()}"}, trust_env=False) as http,
        Client(streamable_http_client(federated.serving.url, http_client=http), mode=era) as client,
    ):
        first = await client.call_tool("orders_get", READ)
        assert not first.is_error
        http.headers["Authorization"] = f"Bearer {federated.token(jti='renewed')}"
        assert not (await client.call_tool("orders_get", READ)).is_error
    (record,) = federated.records((first.meta or {})["mcp-guard/receipt"]["call"])
    assert record["actor"]["software"].startswith("mcp "), "either era says what it is"


@pytest.mark.holds("identity:resource-metadata")
async def test_strangers_are_told_where_to_ask(federated: Federated) -> None:
    hostile = ["", "a.b.c", federated.token(aud="https://other.example"), federated.token(exp=1), "mcpg_x_y"]
    answers = [await federated.call("orders_get", READ, token=token) for token in hostile]
    assert {(answered.status, answered.body) for answered in answers} == {(401, answers[0].body)}
    assert {answered.headers["www-authenticate"] for answered in answers} == {
        f'Bearer error="invalid_token", scope="orders:read", {METADATA}'
    }
    for path in (WELL_KNOWN, f"{WELL_KNOWN}/mcp"):
        document = await federated.get(path)
        assert document.status == 200
        assert document.json["authorization_servers"] == [federated.issuer.name]
        assert document.json["resource"] == AUDIENCE
    page = federated.program.run("--json", "audit", "query", "--kind", "fault", "--limit", "500").json
    codes = {record["state"]["code"] for record in page["records"]}
    assert {"token_audience", "token_expired", "token_form", "unauthenticated"} <= codes


@pytest.mark.holds("identity:step-up")
async def test_a_call_that_lacks_scopes_is_told_which_to_ask_for(federated: Federated) -> None:
    for claims in ({"scope": "orders:read"}, {"sub": "zoe", "roles": ["support"], "scope": "orders:read"}):
        answered = await federated.call("payments_refund", REFUND, federated.token(**claims))
        assert answered.status == 403
        assert answered.headers["www-authenticate"] == (
            f'Bearer error="insufficient_scope", scope="payments:refund", {METADATA}'
        )
        guard = _guard(answered)
        assert (guard["code"], guard["rule"], guard["executed"]) == ("policy_denied", "guard:scope", "no")
        assert _result(answered)["_meta"]["mcp-guard/receipt"]["call"] == guard["call"], "it is on record"
    again = await federated.call("payments_refund", REFUND, federated.token(scope="orders:read payments:refund"))
    assert (again.status, _result(again)["isError"]) == (200, False)


@pytest.mark.holds("identity:step-up")
async def test_nobody_is_sent_for_what_the_home_withholds(federated: Federated) -> None:
    """Bob holds no payments scope here, whatever his issuer grants; asking again would change nothing."""
    answered = await federated.call(
        "payments_refund", REFUND, federated.token(sub="bob", roles=["support"], scope="payments:refund")
    )
    assert (answered.status, _guard(answered)["rule"]) == (200, "guard:scope")
    assert "www-authenticate" not in answered.headers


@pytest.mark.holds("identity:step-up")
async def test_a_denial_by_policy_is_no_step_up(federated: Federated) -> None:
    answered = await federated.call("payments_refund", REFUND | {"amount": 9000})
    assert (answered.status, _guard(answered)["rule"]) == (200, "refund-limit")


@pytest.mark.holds("identity:delegation")
async def test_every_hop_is_decided_and_on_record(federated: Federated) -> None:
    def through(*hops: str) -> str:
        act: dict[str, Any] | None = None
        for hop in reversed(hops):
            act = {"sub": hop, "act": act} if act else {"sub": hop}
        return federated.token(act=act)

    answered = await federated.call("orders_get", READ, through("local", "planner"))
    assert _result(answered)["isError"] is False
    (record,) = federated.records(_result(answered)["_meta"]["mcp-guard/receipt"]["call"])
    assert (record["actor"]["via"], record["actor"]["chain"]) == ("agent:local", ["agent:planner"])

    denied = await federated.call("orders_get", READ, through("local", "planner", "reckless"))
    assert _guard(denied)["rule"] == "reckless-stays-out"
    (record,) = federated.records(_guard(denied)["call"])
    assert record["actor"]["chain"] == ["agent:planner", "agent:reckless"]

    unknown = await federated.call("orders_get", READ, through("local", "planner", "nobody"))
    assert unknown.json["error"]["code"] == -32602, "a hop nobody has allowed hides the tool"  # type: ignore[index]


@pytest.mark.holds("identity:call-token", "identity:caller-token-stays")
async def test_an_upstream_gets_a_token_of_the_guard_and_never_the_caller_s(federated: Federated) -> None:
    presented = federated.token(scope="ledger:write", sub="zoe", roles=["support"], act={"sub": "local"})
    before = len(federated.upstream.requests)
    answered = await federated.call("ledger_note", {"note": "hello"}, presented)
    assert _result(answered)["isError"] is False, answered.body
    (seen,) = federated.upstream.requests[before:]
    everything = repr((seen.target, seen.headers, seen.body))
    assert all(part not in everything for part in (presented, *presented.split(".")[1:]))

    keys = pyjwt.PyJWKSet.from_dict((await federated.get(KEYS_PATH)).json)
    sent = (seen.header("authorization") or "").removeprefix("Bearer ")
    claims = pyjwt.decode(
        sent,
        keys[pyjwt.get_unverified_header(sent)["kid"]],
        algorithms=["EdDSA"],
        audience=f"http://127.0.0.1:{federated.upstream.port}",
        issuer="https://guard.example",
    )
    assert (claims["sub"], claims["client_id"], claims["scope"]) == ("user:zoe", "agent:local", "ledger:write")
    assert claims["jti"] == _result(answered)["_meta"]["mcp-guard/receipt"]["call"]
    assert 0 < claims["exp"] - time.time() <= 60
    log = federated.program.run("--json", "audit", "query", "--limit", "500").out
    assert sent.rpartition(".")[2] not in log
    assert presented.rpartition(".")[2] not in log


@pytest.mark.holds("identity:caller-token-stays")
@pytest.mark.parametrize("kind", ["of the issuer", "of our own"])
async def test_a_tool_without_a_credential_sends_none(kind: str, federated: Federated) -> None:
    """Whatever the caller presents, and in whatever header: an upstream that records everything sees nothing of it."""
    own = federated.program.token("user:alice", "--client", "agent:local")
    presented = own if kind == "of our own" else federated.token(jti="seen-nowhere")
    extra = (f"X-Api-Key: {presented}", f"Cookie: session={presented}", f"Proxy-Authorization: Bearer {presented}")
    before = len(federated.upstream.requests)
    body = call_body("ledger_ping", {})
    data = request(federated.serving.port, body, token=presented, tool="ledger_ping", extra=extra)
    answered = await exchange(federated.serving.port, data)
    assert _result(answered)["isError"] is False, answered.body
    (seen,) = federated.upstream.requests[before:]
    assert seen.header("authorization") is None
    assert presented.rpartition("_")[2].rpartition(".")[2] not in repr((seen.target, seen.headers, seen.body))


@pytest.mark.holds("identity:exchange", "identity:caller-token-stays")
async def test_an_exchanged_token_goes_out_and_nothing_without_one(federated: Federated) -> None:
    presented = federated.token(scope="ledger:write", sub="zoe", roles=["support"])
    answered = await federated.call("ledger_post", {}, presented)
    assert _result(answered)["isError"] is False, answered.body
    assert federated.upstream.last.header("authorization") == "Bearer issued-for-the-upstream-1"
    assert presented not in repr(federated.issuer.exchanged)
    assert all(presented not in repr(seen) for seen in federated.issuer.http.requests)

    hits = federated.upstream.hits
    federated.issuer.replies["/token"] = answer({"error": "invalid_grant"}, status=400)
    try:
        refused = _guard(await federated.call("ledger_post", {}, presented))
    finally:
        del federated.issuer.replies["/token"]
    assert (refused["code"], refused["executed"]) == ("upstream_unavailable", "no")
    assert federated.upstream.hits == hits
    assert federated.records(refused["call"])[-1]["executed"] == "no"


@pytest.mark.holds("identity:issuer-down")
async def test_a_served_home_outlives_its_issuer(federated: Federated) -> None:
    await federated.call("orders_get", READ)
    federated.issuer.replies.update(dict.fromkeys(("/keys", "/.well-known/openid-configuration"), text("", status=503)))
    try:
        assert (await federated.call("orders_get", READ, federated.token(jti="while down"))).status == 200
        assert (await federated.call("orders_get", READ, federated.issuer.token({"kid": "new"}))).status == 401
    finally:
        federated.issuer.replies.clear()


async def test_the_command_line_takes_an_access_token_too(federated: Federated) -> None:
    done = federated.program.run("--json", "call", "orders_get", "order_id=ORD-1001", "--token", federated.token())
    assert (done.status, done.json["isError"]) == (0, False)
    refused = federated.program.run("call", "orders_get", "order_id=ORD-1001", "--token", federated.token(exp=1))
    assert refused.status == 5
    assert not re.search(r"eyJ|Traceback", refused.err)


async def test_own_tokens_work_beside_the_issuer_s(federated: Federated) -> None:
    own = federated.program.token("user:alice", "--client", "agent:local")
    assert (await federated.call("orders_get", READ, own)).status == 200
    narrow = federated.program.token("user:alice", "--client", "agent:local", "--scope", "orders:read")
    lacking = await federated.call("payments_refund", REFUND, narrow)
    assert (lacking.status, _guard(lacking)["rule"]) == (200, "guard:scope"), "no issuer can widen a token of our own"
