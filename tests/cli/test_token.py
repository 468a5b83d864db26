"""`mcp-guard token …`: shown once, listed without the secret, refused once revoked."""

import re

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program


def test_create(guard: Guard) -> None:
    ran = guard("--json", "token", "create", "user:alice", "--expires", "12h")
    assert ran.status == 0
    assert list(ran.json) == ["token", "id", "subject", "expires_at"]
    assert re.fullmatch(r"mcpg_[a-z2-7]{16}_[0-9a-f]{64}", ran.json["token"])
    assert ran.json["id"] in ran.json["token"]
    assert ran.json["expires_at"].endswith("+00:00")
    plain = guard("token", "create", "user:alice")
    assert re.fullmatch(r"mcpg_\S+\n", plain.out), "stdout can be piped into whatever keeps it"
    assert "not shown again" in plain.err
    assert guard("-q", "token", "create", "user:alice").err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("alice",),
        ("agent:local",),
        ("user:alice", "--client", "user:bob"),
        ("user:alice", "--tenant", "globex"),
        ("user:alice", "--tenant", "a b"),
        ("user:stranger",),
        ("user:alice", "--scope", "customers:delete"),
        ("user:alice", "--scope", ""),
        ("user:alice", "--expires", "0s"),
        ("user:alice", "--expires", "400d"),
        ("user:alice", "--expires", "soon"),
        ("user:alice", "--expires", "-1h"),
        (),
    ],
    ids=" ".join,
)
def test_wishes_that_are_refused(arguments: tuple[str, ...], guard: Guard) -> None:
    ran = guard("--json", "token", "create", *arguments)
    assert (ran.status, ran.error["code"]) == (2, "usage")


def test_list_and_revoke(guard: Guard) -> None:
    made = guard("--json", "token", "create", "user:alice", "--scope", "orders:read", "--client", "agent:laptop").json
    listed = guard("--json", "token", "list")
    assert [(row["id"], row["subject"], row["client"], row["state"]) for row in listed.json] == [
        (made["id"], "user:alice", "agent:laptop", "valid")
    ]
    assert listed.json[0]["scopes"] == ["orders:read"]
    secret = made["token"].rpartition("_")[2]
    assert secret not in listed.out + guard("token", "list").out
    assert guard("--json", "token", "revoke", made["id"]).json == {"id": made["id"], "revoked": True}
    assert guard("token", "revoke", made["id"]).status == 0, "twice is no error"
    assert guard("--json", "token", "list").json[0]["state"] == "revoked"
    used = guard("--json", "call", "orders_get", "order_id=ORD-1001", "--token", made["token"])
    assert (used.status, used.error["code"]) == (5, "unauthenticated")
    assert guard("--json", "token", "revoke", "nope").status == 2


@pytest.mark.holds("cli:revoke-always")
def test_a_broken_home_can_still_revoke(guard: Guard, desk: Program) -> None:
    made = guard("--json", "token", "create", "user:alice").json
    for file in ("tool_manifests/orders.yaml", "policy/policy.csv", "policy/principals.yaml"):
        (desk.home / file).write_bytes(b"\x00")
    assert guard("config", "validate").status == 3
    assert guard("token", "list").status == 0
    assert guard("token", "revoke", made["id"]).status == 0
    assert guard("--json", "token", "list").json[0]["state"] == "revoked"
