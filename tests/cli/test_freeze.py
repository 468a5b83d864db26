"""`mcp-guard freeze`, `unfreeze`: from the next decision on, whatever state the home is in."""

import re

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program
from tests.store.helpers import as_of_version

WHY = ("--reason", "laptop stolen")
LOOK = ("--json", "call", "orders_get", "order_id=ORD-1001")


@pytest.mark.parametrize(
    "selector",
    [("--subject", "user:alice"), ("--client", "agent:local"), ("--tool", "orders_get"), ("--tenant", "acme")],
    ids=" ".join,
)
def test_a_freeze_counts_for_the_next_call_until_it_is_lifted(selector: tuple[str, str], guard: Guard) -> None:
    assert guard(*LOOK).status == 0
    made = guard("--json", "freeze", *selector, *WHY)
    assert made.status == 0
    assert list(made.json) == ["id", "target", "reason", "frozen_at"]
    ran = guard(*LOOK)
    refusal = ran.json["structuredContent"]["guard"]
    assert (ran.status, refusal["code"], refusal["rule"], refusal["reason"]) == (
        5,
        "frozen",
        "guard:frozen",
        "laptop stolen",
    )
    assert guard("--json", "freeze", "--list").json == [made.json]
    lifted = guard("--json", "unfreeze", *selector)
    assert (lifted.status, lifted.json) == (0, {**made.json, "unfrozen": True})
    assert guard(*LOOK).status == 0
    assert guard("--json", "freeze", "--list").json == []
    assert guard("audit", "verify", "--deep").status == 0


def test_for_people(guard: Guard) -> None:
    made = guard("freeze", "--tool", "mail_send", *WHY)
    assert re.fullmatch(r"frozen tool:mail_send \([0-9a-f]{8}\)\n", made.out)
    again = guard("freeze", "--tool", "mail_send", "--reason", "another")
    assert (again.status, again.out) == (0, made.out)
    assert "laptop stolen" in again.err
    assert "tool:mail_send" in guard("freeze", "--list").out
    identifier = made.out.split("(")[1].rstrip(")\n")
    assert guard("unfreeze", identifier).out == f"unfrozen tool:mail_send ({identifier})\n"
    assert guard("unfreeze", identifier).status == 2


def test_a_mistyped_tool_is_frozen_and_pointed_out(guard: Guard) -> None:
    ran = guard("freeze", "--tool", "payment_refund", *WHY)
    assert ran.status == 0
    assert "did you mean payments_refund?" in ran.err
    assert guard("freeze", "--tool", "payments_refund", *WHY).err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("freeze",),
        ("freeze", *WHY),
        ("freeze", "--subject", "user:alice"),
        ("freeze", "--subject", "user:alice", "--reason", ""),
        ("freeze", "--subject", "user:alice", "--client", "agent:local", *WHY),
        ("freeze", "--subject", "agent:local", *WHY),
        ("freeze", "--client", "user:alice", *WHY),
        ("freeze", "--tool", "a b", *WHY),
        ("freeze", "--tenant", "*", *WHY),
        ("freeze", "--list", "--subject", "user:alice"),
        ("freeze", "--list", *WHY),
        ("unfreeze",),
        ("unfreeze", "abc", "--subject", "user:alice"),
        ("unfreeze", "--subject", "user:alice", "--tenant", "acme"),
        ("unfreeze", "--subject", "user:bob"),
    ],
    ids=" ".join,
)
def test_wrong_usage_freezes_nothing(arguments: tuple[str, ...], guard: Guard) -> None:
    guard(*LOOK)
    ran = guard("--json", *arguments)
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert guard("--json", "freeze", "--list").json == []
    assert guard(*LOOK).status == 0


@pytest.mark.holds("freeze:always")
def test_a_broken_home_can_still_be_stopped(guard: Guard, desk: Program) -> None:
    before = {}
    for file in ("tool_manifests/orders.yaml", "policy/policy.csv", "policy/principals.yaml"):
        before[file] = (desk.home / file).read_bytes()
        (desk.home / file).write_bytes(b"\x00")
    assert guard("config", "validate").status == 3
    assert guard("freeze", "--tool", "orders_get", *WHY).status == 0
    for file, content in before.items():
        (desk.home / file).write_bytes(content)
    assert guard(*LOOK).status == 5


@pytest.mark.holds("cli:reading-makes-nothing")
@pytest.mark.parametrize("arguments", [("freeze", "--list"), ("unfreeze", "x")], ids=" ".join)
def test_looking_and_lifting_make_no_store(arguments: tuple[str, ...], guard: Guard, desk: Program) -> None:
    assert guard("--json", *arguments).status == 8
    assert not (desk.home / "var" / "guard.db").exists()


def test_what_is_frozen_shows_in_a_store_of_the_earlier_version_as_nothing(guard: Guard, desk: Program) -> None:
    guard(*LOOK)
    as_of_version(desk.home / "var" / "guard.db", 1)
    assert guard("--json", "freeze", "--list").json == []
    assert guard("freeze", "--subject", "user:alice", *WHY).status == 0
    assert guard(*LOOK).status == 5
