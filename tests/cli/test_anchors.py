"""Anchors from end to end: a home, a witness in a process of its own, an archive; and what tampering runs into."""

import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.model.note import VerifierKey
from tests.cli.conftest import Guard
from tests.simulators.process import Program
from tests.simulators.tsa import TimestampAuthority
from tests.simulators.upstream import Seen, UpstreamSimulator, Wire, echo, endless, redirect, text
from tests.simulators.witness import Witnessing, witnessing
from tests.store.helpers import lines

SECRET = "s3cr3t-of-the-archive"


def name_anchors(home: Path, *anchors: str) -> None:
    """Put them into the home's file."""
    path = home / "mcp-guard.yaml"
    listed = "".join(f"\n    - {{{anchor}, networks: [127.0.0.0/8]}}" for anchor in anchors)
    path.write_text(path.read_text(encoding="utf-8") + f"\naudit:\n  anchors:{listed}\n", encoding="utf-8")


def log_key(guard: Guard) -> VerifierKey:
    assert guard("--json", "audit", "checkpoint").status == 0
    return VerifierKey.parse(guard("--json", "audit", "status").json["key"])


@pytest.fixture
def witness(desk: Program, guard: Guard, tmp_path: Path) -> Iterator[Witnessing]:
    """A witness of the home's log, named in its file."""
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    with witnessing(tmp_path / "witness", log_key(guard)) as running:
        name_anchors(desk.home, f"witness: '{running.url}', key: '{running.key}', every: 1s")
        yield running


def verify(guard: Guard, *options: str) -> Any:
    return guard("--json", "audit", "verify", *options).json


def cut(home: Path, *, keep: int, thorough: bool) -> None:
    """Take the end off the log, as somebody with the file can, and go over the traces."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        database.execute("DELETE FROM log WHERE n >= ?", (keep,))
        database.execute("DELETE FROM side WHERE n >= ?", (keep,))
        database.execute("DELETE FROM checkpoint WHERE size > ?", (keep,))
        for table in ("tile", "posting", "digest"):
            database.execute(f"DELETE FROM {table}")
        database.execute("DELETE FROM meta WHERE key IN ('indexed', 'tiled')")
        if thorough:
            database.execute("DELETE FROM anchor")
        database.commit()


@pytest.mark.holds("anchors:acknowledged", "anchors:status")
def test_a_witness_confirms_and_verification_counts_it(guard: Guard, witness: Witnessing) -> None:
    assert verify(guard)["anchored"] == "never"
    done = guard("--json", "audit", "checkpoint", "--anchor")
    assert done.status == 0
    assert done.json["anchors"] == [
        {"kind": "witness", "name": witness.key.name, "state": "anchored", "size": done.json["size"]}
    ]
    assert verify(guard)["anchored"] == done.json["size"]
    assert verify(guard, "--require-anchor-age", "1h")["ok"]
    shown = guard("audit", "status").out
    assert f"witness {witness.key.name}: anchored, {done.json['size']} records, " in shown
    assert guard("audit", "checkpoint", "--anchor").err.count(": anchored, ") == 1


@pytest.mark.holds("anchors:acknowledged", "anchors:fork")
@pytest.mark.parametrize("thorough", [False, True])
def test_a_tail_that_was_cut_off(desk: Program, guard: Guard, witness: Witnessing, *, thorough: bool) -> None:
    size = guard("--json", "audit", "checkpoint", "--anchor").json["size"]
    cut(desk.home, keep=1, thorough=thorough)
    report = guard("--json", "audit", "verify")
    if thorough:
        assert report.status == 0, "nothing on this machine knows any more"
    else:
        assert (report.status, report.json["error"]["n"]) == (8, 1)
        assert f"the log was cut off, {size} records were signed" in report.json["error"]["what"]
    told = guard("audit", "checkpoint", "--anchor")
    assert (told.status, "FORK" in told.err) == (8, True)
    assert "FORK" in guard("audit", "status").out
    assert "FORK" in guard("-q", "audit", "verify").err
    assert any(b'"code":"log_forked"' in line for line in lines(desk.home / "var" / "guard.db"))


@pytest.mark.holds("anchors:fork")
def test_an_older_copy_that_was_put_back(desk: Program, guard: Guard, witness: Witnessing, tmp_path: Path) -> None:
    shutil.copytree(desk.home / "var", tmp_path / "older")
    assert guard("call", "orders_get", "order_id=ORD-1002").status == 0
    assert guard("audit", "checkpoint", "--anchor").status == 0
    shutil.rmtree(desk.home / "var")
    shutil.copytree(tmp_path / "older", desk.home / "var")
    for number in (1003, 1001, 1002, 1003):
        assert guard("call", "orders_get", f"order_id=ORD-{number}").status == 0
    assert verify(guard)["ok"], "on this machine it looks well"
    assert guard("audit", "checkpoint", "--anchor").status == 8


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to end it with")
@pytest.mark.holds("anchors:schedule")
def test_a_serving_process_keeps_its_anchors_up_to_date(desk: Program, guard: Guard, witness: Witnessing) -> None:
    with desk.http():
        deadline = time.monotonic() + 60
        while guard("--json", "audit", "status").json["anchored"] == "never":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    records = guard("--json", "audit", "query", "-n", "2").json["records"]
    assert [record["kind"] for record in records] == ["anchor", "shutdown"]
    assert records[0]["state"]["size"] == records[1]["_n"] + 1, "its end is confirmed too"
    assert verify(guard)["anchored"] == records[0]["_n"]


@pytest.mark.holds("anchors:egress", "anchors:copies")
def test_an_archive_is_sent_checkpoints_and_its_secret_stays_one(
    desk: Program, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_KEY", SECRET)
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    with UpstreamSimulator(echo()) as archive:
        address = archive.url("/in?token=abc")
        name_anchors(desk.home, f"http: '{address}', headers: {{Authorization: 'Bearer ${{env:ARCHIVE_KEY}}'}}")
        done = guard("--json", "audit", "checkpoint", "--anchor")
        assert (done.status, done.json["anchors"][0]["state"]) == (0, "sent")
        assert archive.last.header("authorization") == f"Bearer {SECRET}"
        assert archive.last.target == "/in?token=abc"
        archive.behaviour = echo(500)
        failed = guard("--json", "audit", "checkpoint", "--anchor")
        assert failed.status == 7
    status = guard("audit", "status").out
    for said in (done.out, failed.out, status):
        assert SECRET not in said
        assert "token=abc" not in said
    assert verify(guard)["anchored"] == "never"


@pytest.mark.holds("anchors:egress")
@pytest.mark.parametrize(
    "behaviour", [endless(), redirect("http://127.0.0.1:1/"), text(b"x" * 10_000_000)], ids=range(3)
)
def test_a_server_that_misbehaves_is_a_failure_and_no_more(desk: Program, guard: Guard, behaviour: Any) -> None:
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    with UpstreamSimulator(behaviour) as archive:
        name_anchors(desk.home, f"http: '{archive.url('/')}'")
        done = guard("--json", "audit", "checkpoint", "--anchor")
    assert (done.status, done.json["anchors"][0]["state"]) == (7, "failing")
    assert verify(guard)["ok"]


@pytest.mark.holds("anchors:egress")
def test_private_networks_are_opted_into(desk: Program, guard: Guard) -> None:
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    with UpstreamSimulator() as archive:
        path = desk.home / "mcp-guard.yaml"
        listed = f"audit: {{anchors: [{{http: '{archive.url('/')}'}}]}}"
        path.write_text(f"{path.read_text(encoding='utf-8')}\n{listed}\n", encoding="utf-8")
        assert guard("audit", "checkpoint", "--anchor").status == 7
        assert archive.connections == 0


@pytest.mark.holds("anchors:stamped", "anchors:egress")
def test_a_time_stamp_from_asking_to_verifying(desk: Program, guard: Guard, run_here: Guard, tmp_path: Path) -> None:
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    tsa = TimestampAuthority(lambda: datetime.now(UTC))
    (tmp_path / "ca.pem").write_bytes(tsa.roots_pem)

    def stamp(seen: Seen, wire: Wire) -> None:
        assert seen.header("content-type") == "application/timestamp-query"
        wire.respond(200, [("Content-Type", "application/timestamp-reply")], tsa.answer(seen.body))

    with UpstreamSimulator(stamp) as authority:
        name_anchors(desk.home, f"rfc3161: '{authority.url('/tsr')}', ca: {tmp_path / 'ca.pem'}, name: stamps")
        done = guard("--json", "audit", "checkpoint", "--anchor")
        assert done.json["anchors"] == [{"kind": "rfc3161", "name": "stamps", "state": "anchored", "size": 2}]
    assert verify(guard, "--require-anchor-age", "1h")["anchored"] == 2
    assert guard("audit", "export", "-o", str(tmp_path / "log.jsonl")).status == 0
    elsewhere = ("--json", "--home", str(tmp_path), "audit", "verify", str(tmp_path / "log.jsonl"))
    assert run_here(*elsewhere).json["anchored"] == "never"
    assert run_here(*elsewhere, "--tsa", str(tmp_path / "ca.pem")).json["anchored"] == 2
    assert run_here(*elsewhere, "--tsa", str(tmp_path / "log.jsonl")).status == 3


@pytest.mark.holds("anchors:status")
def test_the_checkup_names_anchors_and_asks_none(desk: Program, guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(TimestampAuthority(lambda: datetime.now(UTC)).roots_pem)
    with UpstreamSimulator() as authority:
        name_anchors(desk.home, f"rfc3161: '{authority.url('/tsr')}', ca: {path}, name: stamps")
        (check,) = [check for check in guard("--json", "doctor").json if check["name"] == "anchors"]
        assert (check["state"], check["what"]) == ("ok", "named, not asked: rfc3161 stamps")
        assert authority.connections == 0
    path.write_bytes(b"nothing")
    for command in (("doctor",), ("serve", "--http", "127.0.0.1:0")):
        ran = guard(*command)
        assert (ran.status, "ca.pem" in ran.out + ran.err) == (3, True)


def test_there_is_nothing_to_ask_without_anchors(guard: Guard) -> None:
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    ran = guard("--json", "audit", "checkpoint", "--anchor")
    assert (ran.status, ran.error["code"]) == (2, "usage")
