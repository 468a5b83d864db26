"""`mcp-guard audit erase`, as an operator uses it: beside a running server, and when something kills it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Guard
from tests.simulators.process import Program
from tests.simulators.raw import call_body, exchange, request
from tests.store.helpers import lines, rows
from tests.store.test_erasure import everywhere

CANARY = "canary-20517"
REASON = ("--reason", "ticket 812")


def look_up(guard: Guard, *options: str) -> None:
    """A call that leaves the canary in its arguments. It is refused for them, and they are kept all the same."""
    guard("call", "orders_get", f"order_id={CANARY}", *options)


@pytest.fixture
def store(desk: Program) -> Path:
    return desk.home / "var" / "guard.db"


@pytest.mark.holds("erase:bytes-gone")
@pytest.mark.parametrize("how", ["--subject", "--call", "--field"])
def test_three_ways_to_say_what(how: str, guard: Guard, store: Path) -> None:
    look_up(guard)
    record = guard("--json", "audit", "tail").json["records"][1]
    assert everywhere(store, CANARY.encode()) > 0
    what = {"--subject": ["user:alice"], "--call": [record["call"]], "--field": [str(record["_n"]), "args"]}[how]
    shown = guard("--json", "audit", "erase", how, *what, *REASON).json
    assert (shown["what"], shown["records"], shown["noted"], shown["dry_run"]) == (how[2:], 1, [2], False)
    assert everywhere(store, CANARY.encode()) == 0
    assert guard("audit", "verify", "--deep").status == 0
    assert "args" in guard("--json", "audit", "show", record["call"]).json["records"][0]["erased"]


def test_words_for_people(guard: Guard) -> None:
    look_up(guard)
    erase = ("audit", "erase", "--subject", "user:alice", *REASON)
    assert guard(*erase, "--dry-run").out.startswith("would be erased: ")
    assert guard(*erase).out.endswith("on record as 2\n")
    assert guard(*erase).out == "nothing of it is left to erase\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--subject", "user:alice"),
        ("--subject", "user:alice", "--call", "x", *REASON),
        REASON,
        ("--subject", "agent:local", *REASON),
        ("--subject", "user:nobody", *REASON),
        ("--field", "-1", "args", *REASON),
        ("--field", "0", *REASON),
        ("--call", "x", "--reason", " "),
    ],
)
def test_used_wrongly(arguments: tuple[str, ...], guard: Guard, store: Path) -> None:
    look_up(guard)
    assert guard("--json", "audit", "erase", *arguments).status == 2
    assert everywhere(store, CANARY.encode()) > 0


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("erase:same-commit")
@pytest.mark.parametrize(("point", "erased"), [("store.before-commit", False), ("store.after-commit", True)])
def test_killed_at_the_commit_there_is_both_or_neither(
    point: str, erased: bool, desk: Program, guard: Guard, store: Path
) -> None:
    look_up(guard)
    doing = ("audit", "erase", "--subject", "user:alice", *REASON)
    assert desk.run(*doing, environ={"MCP_GUARD_FAILPOINT": point}).status != 0
    kinds = [record["kind"] for record in guard("--json", "audit", "tail").json["records"]]
    assert ("erase" in kinds) == erased
    fields = rows(store, "SELECT fields FROM side WHERE n = 1")[0][0]
    assert isinstance(fields, bytes)
    assert any(fields) != erased
    again = desk.run("--json", *doing)
    assert (again.status, bool(again.json["fields"])) == (0, not erased)
    assert everywhere(store, CANARY.encode()) == 0, "also where the first attempt left the write-ahead log behind"
    assert guard("audit", "verify", "--deep").status == 0


@pytest.mark.holds("erase:while-serving")
async def test_beside_a_running_server(desk: Program, guard: Guard, store: Path) -> None:
    token = desk.token("user:alice", "--client", "agent:local")
    body = call_body("orders_get", {"order_id": CANARY})
    with desk.http() as serving:
        await exchange(serving.port, request(serving.port, body, token=token, tool="orders_get"))
        assert everywhere(store, CANARY.encode()) > 0
        assert desk.run("audit", "erase", "--subject", "user:alice", *REASON).status == 0
        assert everywhere(store, CANARY.encode()) == 0
        answer = await exchange(serving.port, request(serving.port, body, token=token, tool="orders_get"))
        assert answer.status == 200
    assert guard("audit", "verify", "--deep").status == 0


@pytest.mark.holds("reveal:opens")
def test_revealing_and_checking(guard: Guard, tmp_path: Path, store: Path) -> None:
    look_up(guard)
    shown = guard("--json", "audit", "reveal", "1", "args").json
    assert shown["value"] == {"order_id": CANARY}
    value = json.dumps(shown["value"])
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in lines(store)))
    given = ("--salt", shown["salt"], "--export", str(export))
    assert guard("--json", "audit", "reveal", "1", "args", "--value", value, *given).json["matches"] is True
    assert guard("audit", "reveal", "1", "args", "--value", value).out.startswith("this is the args of record 1")
    wrong = guard("audit", "reveal", "1", "args", "--value", '{"order_id": "guessed-it"}', *given)
    assert (wrong.status, wrong.err) == (4, "")
    assert "is NOT the args" in wrong.out
    assert "guessed-it" not in wrong.out, "what was shown is not repeated"


def test_a_value_may_come_from_standard_input(desk: Program, guard: Guard) -> None:
    look_up(guard)
    command = desk.command("--json", "audit", "reveal", "1", "args", "--value", "-")
    text = json.dumps({"order_id": CANARY}, indent=4)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)["matches"]) == (0, True), "white space makes no difference"


@pytest.mark.parametrize(
    "arguments",
    [
        ("1", "args", "--value", "{not json"),
        ("1", "args", "--value", '{"a": NaN}'),
        ("1", "args", "--value", "{}", "--salt", "12"),
        ("1", "args", "--salt", "ab" * 32),
        ("1", "nothing"),
        ("99", "args"),
        ("9" * 30, "args"),
        ("-1", "args"),
        ("x", "args"),
    ],
)
def test_revealed_wrongly(arguments: tuple[str, ...], guard: Guard) -> None:
    look_up(guard)
    assert guard("--json", "audit", "reveal", *arguments).status == 2


def test_an_export_needs_a_salt_and_says_so(guard: Guard, tmp_path: Path, store: Path) -> None:
    look_up(guard)
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in lines(store)))
    refused = guard("audit", "reveal", "1", "args", "--value", "{}", "--export", str(export))
    assert refused.status == 2
    assert "--salt" in refused.err


@pytest.mark.holds("pseudonyms:in-records", "pseudonyms:readable", "pseudonyms:erasable")
async def test_a_home_with_pseudonyms(desk: Program, store: Path) -> None:
    """From the server through the command line to the files: a person, and then nobody."""
    config = desk.home / "mcp-guard.yaml"
    config.write_text(config.read_text() + "\naudit: {pseudonyms: true}\n")
    token = desk.token("user:alice", "--client", "agent:local")
    body = call_body("orders_get", {"order_id": CANARY})
    with desk.http() as serving:
        answer = await exchange(serving.port, request(serving.port, body, token=token, tool="orders_get"))
        assert answer.status == 200, "policy knows who it is"
        assert desk.run("call", "orders_get", f"order_id={CANARY}").status == 3
        assert "alice" not in "".join(map(bytes.decode, lines(store)))
        records = desk.run("--json", "audit", "query", "--actor", "user:alice").json["records"]
        assert len(records) == 2
        name = records[0]["actor"]["sub"]
        assert records[0]["names"] == {name: "user:alice"}
        assert "user:alice" in desk.run("audit", "tail").out
        assert desk.run("audit", "erase", "--subject", "user:alice", "--dry-run", *REASON).status == 0
        assert desk.run("audit", "erase", "--subject", "user:alice", *REASON).status == 0
        assert "user:alice" not in desk.run("audit", "tail").out
        assert desk.run("audit", "query", "--actor", "user:alice", "--json").json == {"records": []}
        assert len(desk.run("--json", "audit", "query", "--actor", name).json["records"]) == 2
    assert everywhere(store, CANARY.encode()) == 0
    left = desk.run("--json", "audit", "erase", "--subject", name, *REASON)
    assert (left.status, left.json["fields"]) == (0, 0), "what a call leaves after an erasure can still be named"
    assert desk.run("audit", "verify", "--deep").status == 0
