"""`mcp-guard audit …`: what happened, and whether the log can be believed."""

import os
import re
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcp_guard.audit.bundle import bundle
from mcp_guard.cli.root import run
from mcp_guard.demo.database import edit_one_record
from mcp_guard.demo.home import SANDBOX_PORT, copy_home, seed
from mcp_guard.model.chain import Tail
from tests.cli.conftest import Guard
from tests.store.helpers import lines, rows


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, payments_secret: str) -> Path:
    """A home with five calls behind its first key: three good ones, one denied, one unknown."""
    home = copy_home(tmp_path_factory.mktemp("recorded") / "desk", SANDBOX_PORT)
    seed(home, payments_secret)
    calls: list[tuple[str, ...]] = [("orders_get", f"order_id=ORD-{number}") for number in (1001, 1002, 1003)]
    calls += [("payments_refund", "order_id=ORD-1002", "amount=9000"), ("no_such_tool", "--as", "user:mallory")]
    ended = [run(["--home", str(home), "--json", "call", *call]) for call in calls]
    assert ended == [0, 0, 0, 5, 5]
    return home


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it to do with as one likes."""
    return Path(shutil.copytree(recorded, tmp_path / "desk"))


@pytest.fixture
def history(home: Path, run_here: Guard) -> Guard:
    return lambda *arguments: run_here("--home", str(home), *arguments)


def test_tail_is_oldest_first(history: Guard) -> None:
    records = history("--json", "audit", "tail", "-n", "3").json["records"]
    assert [record["_n"] for record in records] == [3, 4, 5]
    table = history("audit", "tail").out
    assert "payments_refund" in table
    assert "refund-limit" in table


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ((), [5, 4, 3, 2, 1, 0]),
        (("--tool", "orders_get"), [3, 2, 1]),
        (("--actor", "user:mallory"), [5]),
        (("--effect", "deny"), [5, 4]),
        (("--effect", "deny", "--actor", "user:alice"), [4]),
        (("--kind", "outcome", "--after", "3"), [5, 4]),
        (("--before", "2"), [1, 0]),
        (("--status", "ok"), [3, 2, 1]),
        (("--since", "1h"), [5, 4, 3, 2, 1, 0]),
        (("--until", "1h"), []),
        (("--tool", "nope"), []),
    ],
)
def test_query(filters: tuple[str, ...], numbers: list[int], history: Guard) -> None:
    page = history("--json", "audit", "query", *filters).json
    assert [record["_n"] for record in page["records"]] == numbers
    assert "next" not in page


def test_pages(history: Guard) -> None:
    first = history("--json", "audit", "query", "-n", "2").json
    assert first["next"] == 4
    second = history("--json", "audit", "query", "-n", "2", "--before", "4").json
    assert [record["_n"] for record in second["records"]] == [3, 2]
    assert "--before 4" in history("audit", "query", "-n", "2").err


def test_a_moment_is_a_time_with_a_zone(history: Guard) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert len(history("--json", "audit", "query", "--until", soon).json["records"]) == 6
    assert history("--json", "audit", "query", "--since", soon).json == {"records": []}
    for wrong in ("2026-01-05", "2026-01-05T12:00:00", "yesterday", "9999-99-99T00:00:00Z", "999999999d", "-1h", ""):
        assert history("--json", "audit", "query", "--since", wrong).error["code"] == "usage"


@pytest.mark.parametrize(
    "filters",
    [("--effect", "maybe"), ("--kind", "x"), ("-n", "0"), ("-n", "501"), ("--before", "-1"), ("--after", "x")],
)
def test_filters_that_are_none(filters: tuple[str, ...], guard: Guard) -> None:
    assert guard("--json", "audit", "query", *filters).status == 2


def test_show_by_call_and_by_number(history: Guard) -> None:
    by_number = history("--json", "audit", "show", "1").json
    assert [record["_n"] for record in by_number["records"]] == [1]
    assert by_number["records"][0]["values"]["args"] == {"order_id": "ORD-1001"}
    assert history("--json", "audit", "show", by_number["call"]).json == by_number
    for missing in ("99", "0" * 32, "../0", "²"):
        assert history("--json", "audit", "show", missing).status == 2


def test_show_a_record_that_belongs_to_no_call(guard: Guard) -> None:
    guard("token", "create", "user:alice")
    shown = guard("--json", "audit", "show", "0").json
    assert (shown["call"], shown["records"][0]["kind"]) == (None, "config")


def test_status(history: Guard) -> None:
    status = history("--json", "audit", "status").json
    assert (status["records"], status["open_intents"], status["anchored"]) == (6, 0, "never")
    assert status["signed"] == 6
    assert status["key"].startswith(f"{status['origin']}+")
    assert status["origin"].startswith("support-desk/")
    assert status["head"] == history("--json", "audit", "verify").json["head"]
    shown = history("audit", "status").out
    assert "records: 6" in shown
    assert re.search(r"^time: 2[0-9]{3}-[0-9]{2}-[0-9]{2}T.*\+00:00$", shown, re.MULTILINE)


def test_that_nothing_fits_is_said(history: Guard) -> None:
    for command in ("query", "tail"):
        ran = history("audit", command, "--actor", "nobody")
        assert (ran.status, ran.err.strip()) == (0, "no record fits")
        assert history("--json", "audit", command, "--actor", "nobody").json["records"] == []


@pytest.mark.holds("cli:verify")
def test_a_good_log_verifies(history: Guard) -> None:
    ran = history("--json", "audit", "verify", "--deep")
    assert ran.status == 0
    assert list(ran.json) == ["ok", "origin", "records", "signed", "anchored", "head"]
    assert (ran.json["ok"], ran.json["records"], ran.json["anchored"]) == (True, 6, "never")
    text = history("audit", "verify").out
    assert "anchored: never" in text
    assert text.endswith("ok\n")


@pytest.mark.holds("cli:verify")
def test_an_edited_record_is_named(history: Guard, home: Path) -> None:
    n = edit_one_record(home / "var" / "guard.db")
    ran = history("--json", "audit", "verify")
    assert ran.status == 8
    assert ran.json["ok"] is False
    assert ran.json["error"]["n"] in (n, n + 1)
    assert f"BROKEN at record {ran.json['error']['n']}" in history("audit", "verify").out


@pytest.mark.holds("cli:verify")
def test_what_was_kept_is_expected(history: Guard, home: Path) -> None:
    receipt = history("--json", "call", "orders_get", "order_id=ORD-1001").json["_meta"]["mcp-guard/receipt"]
    kept = f"{receipt['n']}:{receipt['leaf']}"
    assert history("audit", "verify", "--expect", kept).status == 0
    assert history("audit", "verify", "--expect", f"{receipt['n'] - 1}:{receipt['leaf']}").status == 8
    with sqlite3.connect(home / "var" / "guard.db") as connection:
        connection.execute("DELETE FROM log WHERE n = ?", (receipt["n"],))
    connection.close()
    assert "cut off" in history("audit", "verify").out
    with sqlite3.connect(home / "var" / "guard.db") as connection:
        connection.execute("DELETE FROM checkpoint WHERE size > ?", (receipt["n"],))
    connection.close()
    assert history("audit", "verify").status == 0, "the chain alone cannot know that its end is missing"
    ran = history("--json", "audit", "verify", "--expect", kept)
    assert (ran.status, ran.json["error"]["n"]) == (8, receipt["n"])


@pytest.mark.parametrize("kept", ["", "1", "1:", ":" + "0" * 64, "1:" + "0" * 63, "-1:" + "0" * 64, "1:" + "G" * 64])
def test_what_was_kept_has_a_form(kept: str, guard: Guard) -> None:
    ran = guard("--json", "audit", "verify", "--expect", kept)
    assert (ran.status, ran.error["code"]) == (2, "usage")


def test_another_source(history: Guard, home: Path) -> None:
    store = home / "var" / "guard.db"
    assert history("--json", "audit", "verify", str(store)).json["records"] == 6
    with sqlite3.connect(store) as connection:
        lines = [row[0] for row in connection.execute("SELECT line FROM log ORDER BY n")]
    connection.close()
    export = home / "export.jsonl"
    export.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    assert history("--json", "audit", "verify", str(export)).json["records"] == 6
    export.write_bytes(export.read_bytes().replace(b"orders_get", b"orders_gex", 1))
    assert history("--json", "audit", "verify", str(export)).status == 8
    assert history("--json", "audit", "verify", str(home / "missing")).status == 8
    assert "the file cannot be read" in history("audit", "verify", str(home / "missing")).err
    assert history("--json", "audit", "verify", str(home)).status == 8


@pytest.mark.holds("audit:standalone")
def test_the_verifier_is_printed_byte_for_byte(guard: Guard) -> None:
    assert guard("audit", "verifier").out == bundle()
    assert guard("--json", "audit", "verifier").json == {"source": bundle()}


@pytest.mark.holds("cli:verify")
@pytest.mark.parametrize("option", ["--key", "--witness", "--checkpoint", "--require-anchor-age"])
def test_what_is_no_evidence_is_a_usage_error_and_not_repeated(option: str, guard: Guard) -> None:
    ran = guard("--json", "audit", "verify", option, "PRIVATE+KEY+secret")
    assert (ran.status, ran.error["code"]) == (2, "usage")
    assert "secret" not in ran.out + ran.err


@pytest.mark.holds("audit:export")
def test_an_export_is_the_stored_lines_byte_for_byte_and_verifies(history: Guard, home: Path) -> None:
    stored = lines(home / "var" / "guard.db")
    assert history("audit", "export").out.encode() == b"".join(line + b"\n" for line in stored)
    target = home / "log.jsonl"
    target.write_text("what was there")
    ran = history("--json", "audit", "export", "-o", str(target))
    assert ran.json == {"records": len(stored), "file": str(target)}
    assert target.read_bytes().splitlines() == stored
    assert os.name != "posix" or target.stat().st_mode & 0o077 == 0
    assert history("--json", "audit", "verify", "--deep", str(target)).json["records"] == len(stored)


@pytest.mark.holds("audit:export")
def test_an_export_that_cannot_be_written_leaves_no_draft(history: Guard, home: Path) -> None:
    assert history("--json", "audit", "export").error["code"] == "usage"
    before = sorted(path.name for path in home.iterdir())
    (home / "full").mkdir()
    assert history("--json", "audit", "export", "-o", str(home / "full")).status == 2
    assert history("--json", "audit", "export", "-o", str(home / "no" / "such" / "place")).status == 2
    assert sorted(path.name for path in home.iterdir()) == sorted([*before, "full"])


@pytest.mark.holds("cli:verify", "audit:key-epochs")
def test_in_a_home_its_own_keys_are_used_over_epochs(history: Guard, home: Path) -> None:
    for _ in range(2):
        assert history("audit", "checkpoint", "--rotate").status == 0
        assert history("--json", "call", "orders_get", "order_id=ORD-1001").status == 0
    verdict = history("--json", "audit", "verify", "--deep").json
    assert verdict["ok"], verdict
    assert verdict["signed"] == verdict["records"]
    (home / "log.jsonl").write_text(history("audit", "export").out)
    (home / "kept").write_text(history("audit", "checkpoint").out)
    export = history("--json", "audit", "verify", str(home / "log.jsonl"), "--checkpoint", str(home / "kept")).json
    assert export == history("--json", "audit", "verify").json
    keys = (home / "var" / "keys" / "audit.vkeys").read_text().split()
    assert len(keys) == 3
    for key in keys:
        assert history("--json", "audit", "verify", "--key", key).json == verdict


def resealed(bodies: list[bytes], origin: str) -> bytes:
    """An export whose chain holds: what anybody can make."""
    tail, found = Tail.start(origin), []
    for body in bodies:
        line, tail = tail.seal(body, 1_700_000_000_000_000)
        found.append(line + b"\n")
    return b"".join(found)


@pytest.mark.holds("cli:verify")
def test_a_log_of_somebody_else_is_not_held_against_our_keys(history: Guard, tmp_path: Path, home: Path) -> None:
    assert history("audit", "checkpoint").status == 0
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_bytes(resealed([b'{"kind":"fault"}'] * 3, "else/where"))
    ran = history("--json", "audit", "verify", str(foreign))
    assert (ran.status, ran.json["origin"], ran.json["signed"]) == (0, None, 0)
    assert "not checked, no key was given" in history("audit", "verify", str(foreign)).out
    key = (home / "var" / "keys" / "audit.vkeys").read_text().split()[0]
    assert history("--json", "audit", "verify", str(foreign), "--key", key).json["error"]["n"] == 0


@pytest.mark.holds("cli:verify", "audit:needs-anchor")
def test_a_rewrite_in_a_home_is_named_though_the_chain_holds(history: Guard, home: Path) -> None:
    assert history("audit", "checkpoint").status == 0
    store = home / "var" / "guard.db"
    stored = lines(store)
    origin = history("--json", "audit", "status").json["origin"]
    forged = resealed([b"{" + line.split(b",", 3)[3].replace(b"allow", b"alloy") for line in stored], origin)
    rows(store, "DELETE FROM log")
    for n, line in enumerate(forged.splitlines()):
        rows(store, "INSERT INTO log VALUES (?, ?)", n, line.decode())
    ran = history("--json", "audit", "verify")
    assert ran.status == 8
    assert "was signed" in ran.json["error"]["what"]
    rows(store, "DELETE FROM checkpoint")
    left = history("--json", "audit", "verify").json
    assert (left["ok"], left["signed"]) == (True, 0), (
        "without any checkpoint nothing is signed, and the verdict says so"
    )
