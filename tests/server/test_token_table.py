"""The token table, from outside: each hostile token at a served home, one constant answer, one fault on record."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from mcp_guard.identity.jwt import looks_like_one
from mcp_guard.identity.protected_resource import WELL_KNOWN
from tests.identity.test_access_token import HOSTILE
from tests.simulators.issuer import AUDIENCE, IssuerSimulator
from tests.simulators.process import Program
from tests.simulators.raw import Answer, call_body, exchange, request

CHALLENGE = f'Bearer error="invalid_token", resource_metadata="https://guard.example{WELL_KNOWN}/mcp"'
BODY = b'{"error":"invalid_token","error_description":"A valid bearer token is required"}'

# Tokens that are none of the issuer's: of our own kind, of no kind, of another scheme.
OTHERS = [
    "",
    "x",
    "mcpg_" + "a" * 16 + "_" + "0" * 64,
    "mcpg__",
    "Basic YWxpY2U6",
    "null",
    "." * 3,
    "eyJhbGciOiJub25lIn0",
]


@contextmanager
def federated(home: Path, payments: sandbox.Sandbox, secret: str) -> Iterator[tuple[Program, IssuerSimulator]]:
    """The example home with an issuer, not yet served."""
    copy_home(home, payments.port)
    seed(home, secret)
    with IssuerSimulator(now_s=int(time.time())) as issuer:
        oidc = {"issuer": issuer.name, "audience": AUDIENCE, "networks": ["127.0.0.0/8"]}
        config = home / "mcp-guard.yaml"
        config.write_text(config.read_text().replace("identity:\n", f"identity:\n  oidc: {json.dumps(oidc)}\n"))
        yield Program(home), issuer


async def _present(port: int, authorization: str | None) -> Answer:
    extra = () if authorization is None else (f"Authorization: {authorization}",)
    data = request(port, call_body("orders_get", {"order_id": "ORD-1001"}), token=None, extra=extra)
    return await exchange(port, data)


def _states(program: Program, kind: str) -> list[dict[str, Any]]:
    page = program.run("--json", "audit", "query", "--kind", kind, "--limit", "500").json
    return [record["state"] for record in page["records"] if "state" in record]


@pytest.mark.holds("identity:token-table", "identity:token", "identity:http-needs-a-token")
async def test_every_hostile_token_is_one_constant_answer_and_one_fault(
    tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str
) -> None:
    expected: Counter[str] = Counter()
    texts = []
    with federated(tmp_path / "desk", payments, payments_secret) as (program, issuer):
        with program.http() as serving:
            good = f"Bearer {issuer.token(client_id='local')}"
            assert (await _present(serving.port, good)).status == 200
            # The row that swaps the issuer's key goes last: the tokens of the others are signed with the first.
            hostile = [found for found in HOSTILE if found[0] != "no tenant"]  # this home knows Alice's
            for name, forge, why in sorted(hostile, key=lambda found: found[0].startswith("HS256")):
                # The clock is real here, and 30 s are forgiven.
                issuer.now_s = int(time.time()) + (600 if why == "not_yet_valid" else 0)
                token = forge(issuer)
                if re.search(r"[^ -~]", token) or len(token) > 60_000:
                    continue  # no header can carry it
                answer = await _present(serving.port, f"Bearer {token}")
                assert (answer.status, answer.body) == (401, BODY), name
                assert answer.headers["www-authenticate"] == CHALLENGE, name
                expected[f"token_{why}" if looks_like_one(token) else "unauthenticated"] += 1
                texts.append(token)
            for authorization in (None, *OTHERS, *(f"Bearer {other}" for other in OTHERS)):
                answer = await _present(serving.port, authorization)
                assert (answer.status, answer.body) == (401, BODY), authorization
                assert answer.headers["www-authenticate"] == CHALLENGE, authorization
                jwt = (authorization or "").startswith("Bearer ") and looks_like_one((authorization or "")[7:])
                expected["token_form" if jwt else "unauthenticated"] += 1
            assert (await _present(serving.port, good)).status == 200, "the next good one is fine"
        found: Counter[str] = Counter()
        for state in _states(program, "fault"):
            assert "sub" not in state, "nobody is named whose identity is not known"
            found[state["code"]] += state["count"]
        assert found == expected
        assert {"token_expired", "token_not_yet_valid", "token_algorithm", "token_audience", "token_issuer"} <= set(
            found
        )
        assert {"token_key", "token_type", "token_signature", "token_form"} <= set(found)
        outcomes = program.run("--json", "audit", "query", "--kind", "outcome", "--limit", "500").json["records"]
        assert len(outcomes) == 2, "nothing ran but the two good calls"
        log = b"".join(path.read_bytes() for path in (program.home / "var").glob("guard.db*"))
        assert not [token for token in texts if len(token) > 40 and token.encode() in log]


@pytest.mark.holds("identity:issuer-down")
async def test_without_keys_nobody_is_believed_and_nobody_is_called_a_liar(
    tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str
) -> None:
    with federated(tmp_path / "desk", payments, payments_secret) as (program, issuer):
        issuer.down = True
        own = program.token("user:alice", "--client", "agent:local")
        with program.http() as serving:
            for token in (issuer.token(client_id="local"), issuer.token({"kid": "other"}), issuer.token(exp=1)):
                answer = await _present(serving.port, f"Bearer {token}")
                assert (answer.status, answer.body) == (503, b'{"error":"temporarily unavailable"}')
                assert "www-authenticate" not in answer.headers, "asking for another token would not help"
            assert (await _present(serving.port, f"Bearer {own}")).status == 200, "a token of our own needs no issuer"
        assert {state["code"]: state["count"] for state in _states(program, "fault")}.keys() == {"issuer_unavailable"}
        assert sum(state["count"] for state in _states(program, "fault")) == 3
