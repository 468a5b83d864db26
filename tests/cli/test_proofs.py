"""`mcp-guard audit checkpoint|prove|check-proof`, from a home to somebody who has nothing but a key."""

import os
from pathlib import Path

import pytest

from mcp_guard.audit.key_files import CURRENT, PUBLIC, published
from mcp_guard.model.note import Checkpoint, parse_note
from tests.cli.conftest import Guard
from tests.simulators.process import Program

CALL = ("--json", "call", "orders_get", "order_id=ORD-1001")


def size_of(note: str) -> int:
    return Checkpoint.parse(parse_note(note.encode()).text).size


@pytest.mark.holds("audit:proven-alone")
def test_a_call_is_proven_to_somebody_with_the_key_alone(guard: Guard, desk: Program, tmp_path: Path) -> None:
    receipt = guard(*CALL).json["_meta"]["mcp-guard/receipt"]
    vkey = guard("--json", "audit", "status").json["key"]
    assert published(desk.home / "var" / "keys")[0].name == receipt["log"]
    proof = tmp_path / "call.tlog-proof"
    assert guard("audit", "prove", receipt["call"], "-o", str(proof)).out == ""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    checked = Program(elsewhere).run("--json", "audit", "check-proof", str(proof), "--key", vkey)
    assert checked.status == 0, checked.err
    assert [record["call"] for record in checked.json["records"]] == [receipt["call"]] * len(checked.json["records"])
    assert checked.json["origin"] == receipt["log"]
    with_leaf = guard("audit", "check-proof", str(proof), "--key", vkey, "--leaf", receipt["leaf"])
    assert with_leaf.out.endswith("the record with this leaf stands in it\n")


@pytest.mark.holds("audit:proven-alone")
def test_a_proof_that_does_not_hold_is_exit_8(guard: Guard, tmp_path: Path) -> None:
    guard(*CALL)
    vkey = guard("--json", "audit", "status").json["key"]
    proof = tmp_path / "call.tlog-proof"
    proof.write_text(guard("--json", "audit", "prove", "1").json["proof"].replace("index 1", "index 0"))
    ran = guard("--json", "audit", "check-proof", str(proof), "--key", vkey)
    assert (ran.status, ran.error["code"]) == (8, "audit_broken")
    proof.write_bytes(os.urandom(100))
    assert guard("audit", "check-proof", str(proof), "--key", vkey).status == 8
    assert guard("audit", "check-proof", str(proof), "--key", "x").status == 2
    assert guard("audit", "check-proof", str(proof)).status == 2
    assert guard("audit", "check-proof", str(proof), "--key", vkey, "--leaf", "ab").status == 2


def test_what_is_not_there_cannot_be_proven(guard: Guard) -> None:
    guard(*CALL)
    for missing in ("99", "0" * 32, "../0"):
        refused = guard("audit", "prove", missing)
        assert refused.status == 2
        assert "There is no such" in refused.err


def test_a_proof_that_cannot_be_written_is_a_wrong_use(guard: Guard, tmp_path: Path) -> None:
    guard(*CALL)
    refused = guard("--json", "audit", "prove", "0", "-o", str(tmp_path / "no" / "place"))
    assert (refused.status, refused.error["code"]) == (2, "usage")


@pytest.mark.holds("audit:signed-head")
def test_a_checkpoint_covers_everything_and_verifies(guard: Guard, tmp_path: Path) -> None:
    guard(*CALL)
    guard("token", "create", "user:alice")
    note = guard("audit", "checkpoint").out
    records = guard("--json", "audit", "status").json["records"]
    assert size_of(note) == records
    kept = tmp_path / "kept.note"
    kept.write_text(note, encoding="utf-8")
    report = guard("--json", "audit", "verify", "--checkpoint", str(kept)).json
    assert (report["ok"], report["signed"]) == (True, records), "a home verifies with its own keys"


@pytest.mark.holds("audit:key-rotation")
def test_keys_are_changed_on_demand(guard: Guard, desk: Program) -> None:
    guard(*CALL)
    before = guard("--json", "audit", "status").json["key"]
    shown = guard("--json", "audit", "checkpoint", "--rotate").json
    assert shown["key"] != before
    assert guard("--json", "audit", "status").json["key"] == shown["key"]
    assert [str(key) for key in published(desk.home / "var" / "keys")] == [before, shown["key"]]
    guard(*CALL)
    report = guard("--json", "audit", "verify", "--key", before).json
    assert (report["ok"], report["signed"]) == (True, report["records"]), "whoever knows the first key knows the next"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
@pytest.mark.holds("audit:signing-key")
def test_a_key_others_can_read_stops_every_act_but_not_the_stop_button(guard: Guard, desk: Program) -> None:
    guard(*CALL)
    (desk.home / "var" / "keys" / CURRENT).chmod(0o644)
    ran = guard(*CALL)
    assert ran.status == 3
    assert "by others" in ran.err or "by others" in ran.out
    assert guard("serve", "--http", "127.0.0.1:0").status == 3
    assert guard("audit", "checkpoint").status == 3
    assert guard("freeze", "--subject", "user:alice", "--reason", "stolen").status == 0
    assert guard("audit", "verify").status == 0


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("audit:key-rotation")
@pytest.mark.parametrize(
    ("point", "changed"),
    [
        ("audit.next-key-made", False),
        ("audit.next-key-announced", True),
        ("audit.hand-over-signed", True),
        ("audit.key-changed", True),
        ("audit.key-put-away", True),
        ("audit.key-in-force", True),
        ("store.before-commit:2", True),
        ("store.after-commit:2", True),
        ("store.after-signing:2", True),
    ],
)
def test_killed_while_keys_change(point: str, changed: bool, guard: Guard, desk: Program) -> None:
    guard(*CALL)
    first = guard("--json", "audit", "status").json["key"]
    assert desk.run("audit", "checkpoint", "--rotate", environ={"MCP_GUARD_FAILPOINT": point}).status != 0
    receipt = guard(*CALL).json["_meta"]["mcp-guard/receipt"]
    assert size_of(receipt["checkpoint"]) > receipt["n"]
    now = guard("--json", "audit", "status").json["key"]
    assert (now != first) == changed, "it is finished where the next key was announced, and forgotten before"
    report = guard("--json", "audit", "verify", "--deep", "--key", first).json
    assert (report["ok"], report["signed"]) == (True, report["records"])
    keys = desk.home / "var" / "keys"
    assert sorted(path.name for path in keys.glob("audit*")) == [CURRENT, PUBLIC]
    assert [str(key) for key in published(keys)] == ([first, now] if changed else [first])
