"""`mcp-guard call`: one governed call, its result as on the wire, its status as documented."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.cli.arguments import from_document, from_pairs
from mcp_guard.demo import sandbox
from mcp_guard.model.errors import UsageError
from tests.cli.conftest import Guard
from tests.simulators.naughty import NAUGHTY
from tests.simulators.process import Program

ORDER = "order_id=ORD-1001"


def _refusal(document: Any) -> Any:
    return document["structuredContent"]["guard"]


@pytest.mark.holds("cli:call-as-on-the-wire")
def test_the_result_is_that_of_the_wire(guard: Guard) -> None:
    ran = guard("--json", "call", "orders_get", ORDER)
    assert ran.status == 0
    result = ran.json
    assert list(result) == ["content", "structuredContent", "isError", "_meta"]
    assert result["isError"] is False
    assert result["structuredContent"]["rows"][0]["item"] == "standing desk"
    assert [block["type"] for block in result["content"]] == ["text"]
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    receipt = result["_meta"]["mcp-guard/receipt"]
    assert set(receipt) == {"call", "log", "n", "leaf", "checkpoint"}
    shown = guard("--json", "audit", "show", receipt["call"]).json
    assert shown["records"][-1]["_n"] == receipt["n"]


def test_for_people_stdout_is_the_text_alone(guard: Guard) -> None:
    ran = guard("call", "orders_get", ORDER)
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out)["rows"][0]["id"] == "ORD-1001"


@pytest.mark.holds("cli:exit-status")
@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("orders_get", ORDER), 0, None),
        (("orders_get", "order_id=1"), 3, "args_invalid"),
        (("orders_get", ORDER, "extra=1"), 3, "args_invalid"),
        (("payments_refund", "order_id=ORD-1002", "amount=9000"), 5, "policy_denied"),
        (("payments_refund", "order_id=ORD-1002", "amount=800"), 6, "approval_pending"),
        (("orders_get", ORDER, "--as", "user:carol"), 5, "unknown_tool"),
        (("customers_delete", "customer_id=CUS-1001"), 5, "unknown_tool"),
        (("no_such_tool",), 5, "unknown_tool"),
        (("orders_get", ORDER, "--token", "mcpg_nonsense"), 5, "unauthenticated"),
        (("orders_get", ORDER, "--token", ""), 5, "unauthenticated"),
    ],
)
def test_the_status_says_how_it_ended(arguments: tuple[str, ...], status: int, code: str | None, guard: Guard) -> None:
    ran = guard("--json", "call", *arguments)
    assert ran.status == status
    if code in ("unknown_tool", "unauthenticated"):
        assert ran.error["code"] == code
    elif code is not None:
        assert ran.json["isError"] is (code != "approval_pending")
        assert _refusal(ran.json)["code"] == code


@pytest.mark.holds("dry-run:decides-only")
@pytest.mark.parametrize(("amount", "effect"), [(5, "allow"), (800, "require_approval"), (9000, "deny")])
def test_a_dry_run_decides_and_does_nothing(amount: int, effect: str, guard: Guard, payments: sandbox.Sandbox) -> None:
    before = len(payments.ledger.entries())
    ran = guard("--json", "call", "payments_refund", "order_id=ORD-1002", f"amount={amount}", "--dry-run")
    view = ran.json["structuredContent"]["guard"]
    assert (ran.status, ran.json["isError"], view["code"], view["effect"]) == (0, False, "dry_run", effect)
    assert len(payments.ledger.entries()) == before
    assert guard("call", "payments_refund", "order_id=ORD-1002", "amount=x", "--dry-run").status == 3
    assert guard("call", "customers_delete", "--dry-run").status == 5
    assert guard("call", "payments_refund", "order_id=1002", "--dry-run").err.startswith("error[args_invalid]: ")
    assert guard("audit", "verify", "--deep").status == 0


def test_an_upstream_that_fails(guard: Guard, desk: Program, payments: sandbox.Sandbox) -> None:
    """The payments service is not where the manifest says."""
    manifest = desk.home / "tool_manifests" / "payments.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(f":{payments.port}/", ":9/"), encoding="utf-8")
    ran = guard("--json", "call", "payments_refund", "order_id=ORD-1002", "amount=1")
    assert ran.status == 7
    assert _refusal(ran.json)["code"] == "upstream_unavailable"
    assert guard("audit", "verify").status == 0


def test_hidden_and_unknown_look_alike(guard: Guard) -> None:
    hidden = guard("call", "customers_delete", "customer_id=CUS-1001")
    unknown = guard("call", "no_such_tool", "customer_id=CUS-1001")
    assert hidden == unknown
    assert "policy explain" in hidden.err, "an operator finds out which"


def test_a_token_says_who_acts(guard: Guard, desk: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    token = guard("--json", "token", "create", "user:bob", "--client", "agent:local").json["token"]

    def actor() -> tuple[str, str]:
        record = guard("--json", "audit", "query", "--kind", "outcome", "-n", "1").json["records"][0]
        return record["actor"]["sub"], record["actor"]["assurance"]

    assert guard("call", "orders_get", ORDER, "--token", token).status == 0
    assert actor() == ("user:bob", "token")
    monkeypatch.setenv("MCP_GUARD_TOKEN", token)
    assert guard("call", "orders_get", ORDER).status == 0
    assert actor() == ("user:bob", "token")
    assert guard("call", "orders_get", ORDER, "--as", "user:alice").status == 0
    assert actor() == ("user:alice", "declared"), "what was typed goes before the variable"
    assert guard("call", "orders_get", ORDER, "--token", token, "--as", "user:alice").status == 2
    assert token not in (desk.home / "var" / "guard.db").read_bytes().decode("latin-1")


def test_without_local_identity_only_a_token_acts(guard: Guard, desk: Program) -> None:
    config = desk.home / "mcp-guard.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("allow: true", "allow: false"), encoding="utf-8")
    ran = guard("--json", "call", "orders_get", ORDER, "--as", "user:alice")
    assert (ran.status, ran.error["code"]) == (5, "unauthenticated")
    assert "--token" in ran.error["hint"]


@pytest.mark.parametrize(
    "name", ["alice", "agent:local", "role:support", "user:", "user:a b", "user:alice\n", "user:alice,role:finance", ""]
)
def test_nobody_can_act_under_a_name_that_is_none(name: str, guard: Guard, desk: Program) -> None:
    ran = guard("--json", "call", "orders_get", ORDER, "--as", name)
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert not (desk.home / "var" / "guard.db").exists()


# --- arguments as they are typed ------------------------------------------------------------------------------------


def test_pairs() -> None:
    pairs = ["a=40", "b=ORD-1", "c=true", "d=", "e=[1, 2]", 'f="40"', "g=x=y", "h= 1", "i=null", "j=1 2", "k={a: 1}"]
    assert from_pairs(pairs) == {
        "a": 40,
        "b": "ORD-1",
        "c": True,
        "d": "",
        "e": [1, 2],
        "f": "40",
        "g": "x=y",
        "h": 1,
        "i": None,
        "j": "1 2",
        "k": "{a: 1}",
    }


DEEP = "[" * 65 + "]" * 65


@pytest.mark.holds("cli:hostile-arguments")
@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "9" * 5000, '{"a":1,"a":2}', DEEP, '"\\ud800"'])
def test_json_that_is_not_acceptable_is_never_taken_for_text(value: str) -> None:
    with pytest.raises(UsageError, match="x is not acceptable JSON"):
        from_pairs([f"x={value}"])
    with pytest.raises(UsageError, match="--args is not JSON"):
        from_document(f'{{"x": {value}}}', "--args")


@pytest.mark.parametrize("pairs", [["a"], ["=a"], ["a=1", "a=1"], [""]])
def test_pairs_that_are_none(pairs: list[str]) -> None:
    with pytest.raises(UsageError):
        from_pairs(pairs)


@pytest.mark.parametrize("text", ["", "[]", "1", "null", '"a"', "{", "{'a': 1}", "\ufeff{}", "{} {}", "{}\x00"])
def test_documents_that_are_no_object(text: str, guard: Guard) -> None:
    ran = guard("--json", "call", "orders_get", "--args", text)
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert "--args" in ran.error["message"]


def test_pairs_and_a_document_exclude_each_other(guard: Guard) -> None:
    assert guard("call", "orders_get", ORDER, "--args", "{}").status == 2


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_can_be_passed_as_a_json_string(text: str) -> None:
    assert from_pairs([f"x={json.dumps(text)}"]) == {"x": text}


@pytest.mark.holds("cli:hostile-arguments")
def test_naughty_strings_arrive_unchanged(fresh: Path, run_here: Guard) -> None:
    for text in [text for text in NAUGHTY if 0 < len(text) <= 100][::5]:
        ran = run_here("--home", str(fresh), "--json", "call", "hello_greet", f"name={json.dumps(text)}")
        assert ran.status == 0, ran.out
        call = ran.json["_meta"]["mcp-guard/receipt"]["call"]
        shown = run_here("--home", str(fresh), "--json", "audit", "show", call)
        assert shown.json["records"][0]["values"]["args"] == {"name": text}


def test_the_environment_is_not_an_argument(guard: Guard) -> None:
    ran = guard("--json", "call", "orders_get", "order_id=$HOME")
    assert ran.status == 3
    assert os.environ.get("HOME", "/root") not in ran.out
