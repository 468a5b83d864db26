"""Exports: the log for auditors, spreadsheets and whoever collects events."""

import csv
import importlib
import importlib.util
import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcp_guard.admin.export import ExportAdmin, Request
from mcp_guard.audit.export import Taken
from mcp_guard.audit.export_table import COLUMNS, NUMBERS, Csv, row
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.ocsf import event
from mcp_guard.audit.query import STRETCH, Filters, Query
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.store.store import Store
from tests.audit.helpers import OK, facts, records, story
from tests.simulators.naughty import NAUGHTY
from tests.store.helpers import lines, rows, unit

# What schema.ocsf.io requires of API Activity (events/application/api_activity.json, its parents and their objects).
REQUIRED = {
    "activity_id": int,
    "actor": dict,
    "api": dict,
    "category_uid": int,
    "class_uid": int,
    "metadata": dict,
    "severity_id": int,
    "src_endpoint": dict,
    "time": int,
    "type_uid": int,
}
ACTIVITIES, SEVERITIES, STATUSES = {0, 1, 2, 3, 4, 99}, {0, 1, 2, 3, 4, 5, 6, 99}, {0, 1, 2, 99}


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "guard.db"
    await story(path)
    return path


async def exported(path: Path, request: Request) -> bytes:
    store, to = Store.open_readonly(path), io.BytesIO()
    try:
        await ExportAdmin(store, Query(store)).export(request, to)
    finally:
        await store.aclose()
    return to.getvalue()


@pytest.mark.holds("audit:export")
async def test_jsonl_is_the_stored_lines(store: Path) -> None:
    assert await exported(store, Request()) == b"".join(line + b"\n" for line in lines(store))


@pytest.mark.holds("export:ocsf")
async def test_every_record_is_an_event_with_all_that_its_class_requires(store: Path) -> None:
    events = [orjson.loads(line) for line in (await exported(store, Request("ocsf"))).splitlines()]
    assert [found["metadata"]["sequence"] for found in events] == [record["_n"] for record in records(store)]
    for found, record in zip(events, records(store), strict=True):
        assert {name: type(found.get(name)) for name in REQUIRED} == REQUIRED
        assert (found["category_uid"], found["class_uid"]) == (6, 6003)
        assert found["activity_id"] in ACTIVITIES
        assert found["type_uid"] == 600300 + found["activity_id"]
        assert found["severity_id"] in SEVERITIES
        assert found.get("status_id", 0) in STATUSES
        assert found["time"] == int(str(record["_t"])) // 1000
        assert found["metadata"]["version"].count(".") == 2
        assert found["metadata"]["product"]["name"] == "mcp-guard"
        assert found["api"]["operation"]
        assert found["actor"].keys() & {"user", "app_name"}
        assert found["src_endpoint"]["name"]


@pytest.mark.holds("export:ocsf")
async def test_an_outcome_is_the_call_with_what_its_intent_said(store: Path) -> None:
    events = [orjson.loads(line) for line in (await exported(store, Request("ocsf"))).splitlines()]
    begun, ended = events[1], events[2]
    assert (begun["activity_name"], ended["activity_name"]) == ("Begin", "Call")
    assert ended["actor"] == begun["actor"]
    assert ended["actor"]["user"] == {"uid": "user:alice", "name": "alice", "type_id": 1, "type": "User"}
    assert ended["api"]["operation"] == "payments_refund"
    assert (ended["status_id"], ended["status"], ended["severity_id"]) == (1, "Success", 1)
    assert ended["unmapped"]["rule"] == "refund-small"
    assert ended["unmapped"]["of"] == begun["unmapped"]["n"] == 1
    refused = next(found for found in events if found.get("status_code") == "policy_denied")
    assert (refused["status_id"], refused["status"], refused["severity_id"]) == (2, "Failure", 2)
    assert refused["status_detail"] == refused["unmapped"]["reason"] == "nobody refunds more than 5000"


@pytest.mark.holds("export:table")
async def test_csv_has_stable_columns_and_one_line_for_each_record(store: Path) -> None:
    data = (await exported(store, Request("csv"))).decode()
    assert data.count("\r\n") == len(lines(store)) + 1
    table = list(csv.DictReader(io.StringIO(data, newline="")))
    assert tuple(table[0]) == COLUMNS
    assert table[2]["actor"] == "user:alice"
    assert [line["n"] for line in table] == [str(record["_n"]) for record in records(store)]
    assert table[-2]["state"] == '{"count":3,"what":"records"}'


def taken(**fields: Any) -> Taken:
    record = {"_n": 0, "_t": 1_700_000_000_000_000, "kind": "outcome", **fields}
    return Taken(orjson.dumps(record), record)


@pytest.mark.holds("export:table")
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_of_strangers_is_no_formula(start: str) -> None:
    to, attack = io.BytesIO(), f'{start}HYPERLINK("http://evil.example","x")'
    table = Csv(to, values=False)
    attacked = taken(tool=attack, decision={"effect": "deny", "rule": attack, "reason": attack}, actor={"via": attack})
    table.write([(0, b"")], lambda _: [attacked])
    (found,) = csv.DictReader(io.StringIO(to.getvalue().decode(), newline=""))
    assert {found[name] for name in ("tool", "rule", "reason", "client")} == {f"'{attack}"}
    assert not any(cell.startswith(start) for cell in found.values())


@pytest.mark.holds("export:table")
def test_naughty_text_stays_one_cell_and_unchanged() -> None:
    texts = [text for text in NAUGHTY if not text.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    to = io.BytesIO()
    Csv(to, values=False).write([(0, b"")], lambda _: [taken(tool=text) for text in texts])
    assert [found["tool"] for found in csv.DictReader(io.StringIO(to.getvalue().decode(), newline=""))] == texts


@pytest.mark.holds("export:ocsf", "export:table")
def test_a_record_that_says_almost_nothing_can_be_told() -> None:
    bare = taken(kind="task")
    assert event(bare, "test/1")["api"] == {"operation": "task", "service": {"name": "mcp-guard"}}
    assert row(bare)["actor"] is None


@pytest.mark.holds("export:table")
async def test_parquet_has_the_columns_of_csv_with_types(store: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed: pip install 'mcp-guard[parquet]'")
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(await exported(store, Request("parquet"))))
    assert tuple(table.column_names) == COLUMNS
    assert all(table.schema.field(name).type == arrow.int64() for name in NUMBERS)
    assert table.schema.field("time").type == arrow.timestamp("us", tz="UTC")
    assert table.column("n").to_pylist() == [record["_n"] for record in records(store)]
    assert table.column("tool").to_pylist()[2] == "payments_refund"


@pytest.mark.holds("export:table")
async def test_parquet_without_its_library_names_the_extra(store: Path) -> None:
    if importlib.util.find_spec("pyarrow") is not None:
        pytest.skip("pyarrow is installed")
    with pytest.raises(UsageError) as caught:
        await exported(store, Request("parquet"))
    assert "mcp-guard[parquet]" in caught.value.hint


@pytest.mark.holds("export:filters")
@pytest.mark.parametrize(
    "filters", [Filters(actor="user:alice"), Filters(kind="read"), Filters(after=2, before=9), Filters(text="refunds")]
)
@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
async def test_a_filtered_export_is_what_a_query_finds_oldest_first(store: Path, filters: Filters, form: Any) -> None:
    opened = Store.open_readonly(store)
    page = await Query(opened).page(filters)
    await opened.aclose()
    wanted = [record["_n"] for record in reversed(page.records)]
    data = await exported(store, Request(form, filters))
    assert _numbers(form, data) == wanted != []


def _numbers(form: str, data: bytes) -> list[int]:
    if form == "csv":
        return [int(line["n"]) for line in csv.DictReader(io.StringIO(data.decode(), newline=""))]
    found = map(orjson.loads, data.splitlines())
    return [record["_n"] if form == "jsonl" else record["unmapped"]["n"] for record in found]


@pytest.mark.holds("export:filters")
async def test_a_filter_that_cannot_be_looked_for_is_refused(store: Path) -> None:
    with pytest.raises(UsageError):
        await exported(store, Request("csv", Filters(tool="x" * 1000)))


@pytest.mark.holds("export:values")
@pytest.mark.parametrize("form", ["csv", "ocsf"])
async def test_values_are_told_only_when_asked_for_and_on_record(store: Path, form: Any) -> None:
    assert b"ORD-1234" not in await exported(store, Request(form))
    opened, to = Store.open(store, "test"), io.BytesIO()
    journal = Journal(opened)
    await ExportAdmin(opened, Query(opened), journal).export(Request(form, values=True), to)
    await journal.aclose()
    await opened.aclose()
    assert b"ORD-1234" in to.getvalue()
    assert b"the customer's secret" not in to.getvalue()
    (said,) = [record for record in records(store) if record.get("state", {}).get("what") == "export"]  # type: ignore[attr-defined]
    assert (said["kind"], said["state"]) == ("read", {"what": "export", "format": form, "filtered": 0})


@pytest.mark.holds("export:values")
async def test_without_a_record_no_value_is_told(store: Path) -> None:
    with pytest.raises(ValueError, match="record"):
        await exported(store, Request("csv", values=True))


class Steps(io.BytesIO):
    """Remembers how much was written at a time."""

    most = 0
    total = 0

    def write(self, data: Any) -> int:
        self.most, self.total = max(self.most, len(data)), self.total + len(data)
        return len(data)


@pytest.mark.holds("export:streams")
@pytest.mark.parametrize("filters", [Filters(), Filters(after=0)])
async def test_a_long_log_is_written_in_steps_while_it_goes_on(tmp_path: Path, filters: Filters) -> None:
    store = Store.open(tmp_path / "guard.db", "test")
    for _ in range(3 * STRETCH // 512):
        await _append(store, 512)
    to = Steps()
    await ExportAdmin(store, Query(store)).export(Request("jsonl", filters), to)
    assert to.total > 2 * to.most
    await store.aclose()


async def _append(store: Store, count: int) -> None:
    futures = [store.writer.submit(unit()) for _ in range(count)]
    for future in futures:
        await future


@pytest.mark.holds("audit:export")
async def test_a_line_that_is_no_record_goes_into_the_evidence_and_nowhere_else(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP TRIGGER IF EXISTS log_lines_never_change")
        connection.execute("UPDATE log SET line = 'rubbish' WHERE n = 3")
        connection.commit()
    assert b"\nrubbish\n" in await exported(store, Request())
    forms: tuple[Any, ...] = ("csv", "ocsf")
    for form in forms:
        with pytest.raises(LogBroken):
            await exported(store, Request(form))


async def test_an_outcome_finds_its_intent_beyond_a_stretch(store: Path) -> None:
    opened = Store.open(store, "test")
    journal = Journal(opened)
    told = facts("late")
    intent = await journal.intent(told)
    await _append(opened, STRETCH + 1)
    await journal.outcome(told, OK, intent)
    await journal.aclose()
    await opened.aclose()
    last = list(csv.DictReader(io.StringIO((await exported(store, Request("csv"))).decode(), newline="")))[-1]
    assert (last["call"], last["tool"], last["actor"]) == ("late", "payments_refund", "user:alice")
    assert rows(store, "SELECT count(*) FROM inflight") == [(0,)]
