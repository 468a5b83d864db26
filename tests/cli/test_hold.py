"""`mcp-guard audit hold` and `release`, as an operator uses them."""

import re

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program

WHY = ("--reason", "matter 12/26")


@pytest.mark.holds("hold:keeps", "hold:recorded")
def test_a_hold_from_beginning_to_end(guard: Guard) -> None:
    guard("call", "orders_get", "order_id=ORD-1001")
    made = guard("audit", "hold", "--subject", "user:alice", *WHY)
    assert re.fullmatch(r"on hold: subject user:alice \([0-9a-f]{8}\)\n", made.out)
    (held,) = guard("--json", "audit", "hold", "--list").json
    assert guard("--json", "audit", "status").json["holds"] == [held]
    assert "matter 12/26" in guard("audit", "hold", "--list").out
    assert f"holds: id {held['id']}, what subject, name user:alice" in guard("audit", "status").out
    erase = ("audit", "erase", "--subject", "user:alice", "--reason", "ticket 812")
    refused = guard("--json", *erase)
    assert (refused.status, refused.error["code"]) == (5, "on_hold")
    assert guard("audit", "release", held["id"]).out == f"released: subject user:alice ({held['id']})\n"
    assert guard("audit", "release", held["id"]).status == 2
    assert "holds" not in guard("--json", "audit", "status").json
    assert guard(*erase).status == 0
    assert guard("audit", "verify", "--deep").status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold",),
        ("hold", "--all"),
        ("hold", *WHY),
        ("hold", "--all", "--subject", "user:alice", *WHY),
        ("hold", "--subject", "agent:local", *WHY),
        ("hold", "--all", "--reason", ""),
        ("hold", "--list", "--all"),
        ("release",),
        ("release", "x"),
    ],
    ids=" ".join,
)
def test_used_wrongly_it_holds_nothing(arguments: tuple[str, ...], guard: Guard) -> None:
    guard("call", "orders_get", "order_id=ORD-1001")
    assert guard("--json", "audit", *arguments).status == 2
    assert guard("--json", "audit", "hold", "--list").json == []


@pytest.mark.holds("cli:reading-makes-nothing")
def test_looking_makes_no_store(guard: Guard, desk: Program) -> None:
    assert guard("audit", "hold", "--list").status == 8
    assert not (desk.home / "var" / "guard.db").exists()
