import asyncio
import base64
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.sql import SqlConnector
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import SqlSpec
from tests.connect.tools import invocation, tool, until
from tests.simulators.naughty import NAUGHTY

COUNT_FOR_EVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


SCHEMA = """
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    total REAL NOT NULL CHECK (total >= 0),
    note TEXT,
    data BLOB
) STRICT;
CREATE TABLE lines (
    id INTEGER PRIMARY KEY,
    order_id TEXT REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO orders VALUES
    ('ORD-1', 10.5, 'first', x'00ff'),
    ('ORD-2', 20, NULL, NULL),
    ('ORD-3', 30, 'third', NULL);
"""


class Shop:
    """A real database file, looked at from outside."""

    def __init__(self, path: Path, means: Means) -> None:
        self.path = path
        self.means = means
        self.opened: list[SqlConnector] = []
        with self.connection() as connection:
            connection.executescript(SCHEMA)

    def connection(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.path, isolation_level=None))

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        with self.connection() as connection:
            return connection.execute(statement).fetchall()

    def open(self, statement: str, *names: str, readonly: bool = True, max_rows: int = 100) -> SqlConnector:
        spec = SqlSpec("sql", str(self.path), readonly, statement, max_rows)
        connector = connect(tool(spec, arguments=names), self.means)
        assert isinstance(connector, SqlConnector)
        self.opened.append(connector)
        return connector

    async def run(
        self,
        statement: str,
        arguments: Mapping[str, object] | None = None,
        *,
        readonly: bool = True,
        max_rows: int = 100,
        seconds: float = 5.0,
    ) -> object:
        connector = self.open(statement, *(arguments or {}), readonly=readonly, max_rows=max_rows)
        return (await connector.invoke(invocation(arguments, timeout=seconds))).value

    async def write(self, statement: str, arguments: Mapping[str, object] | None = None) -> object:
        return await self.run(statement, arguments, readonly=False)


@pytest.fixture
def shop(tmp_path: Path, means: Means) -> Iterator[Shop]:
    made = Shop(tmp_path / "a shop?#%.db", means)
    yield made
    for connector in made.opened:
        asyncio.run(connector.aclose())


async def refusal(
    shop: Shop, statement: str, arguments: Mapping[str, object] | None = None, *, readonly: bool
) -> Refused:
    with pytest.raises(Refused) as refused:
        await shop.run(statement, arguments, readonly=readonly)
    return refused.value


# --- reading


async def test_rows_are_objects(shop: Shop) -> None:
    assert await shop.run("SELECT id, total, note FROM orders WHERE total > :least ORDER BY id", {"least": 15}) == {
        "rows": [{"id": "ORD-2", "total": 20.0, "note": None}, {"id": "ORD-3", "total": 30.0, "note": "third"}],
        "truncated": False,
    }


@pytest.mark.parametrize(("max_rows", "rows", "truncated"), [(1, 1, True), (2, 2, True), (3, 3, False), (4, 3, False)])
async def test_rows_are_capped_and_say_so(shop: Shop, max_rows: int, rows: int, truncated: bool) -> None:
    value = await shop.run("SELECT id FROM orders", max_rows=max_rows)
    assert isinstance(value, dict)
    assert (len(value["rows"]), value["truncated"]) == (rows, truncated)


async def test_a_blob_is_base64_text(shop: Shop) -> None:
    value = await shop.run("SELECT data FROM orders WHERE id = 'ORD-1'")
    assert value == {"rows": [{"data": base64.b64encode(b"\x00\xff").decode()}], "truncated": False}


async def test_an_absent_argument_is_null_and_types_are_kept(shop: Shop) -> None:
    connector = shop.open("SELECT :a AS a, typeof(:b) AS b, typeof(:c) AS c, :d AS d", "a", "b", "c", "d")
    reply = await connector.invoke(invocation({"b": 1.5, "c": 7, "d": True}))
    assert reply.value == {"rows": [{"a": None, "b": "real", "c": "integer", "d": 1}], "truncated": False}


@pytest.mark.holds("sql:parameters-only")
async def test_every_naughty_string_is_stored_and_read_unchanged(shop: Shop) -> None:
    insert = shop.open("INSERT INTO orders VALUES (:id, 1, :note, NULL)", "id", "note", readonly=False)
    select = shop.open("SELECT note FROM orders WHERE note = :note AND id = :id", "id", "note")
    for number, naughty in enumerate(NAUGHTY):
        arguments = {"id": f"N{number}", "note": naughty}
        await insert.invoke(invocation(arguments))
        assert (await select.invoke(invocation(arguments))).value == {"rows": [{"note": naughty}], "truncated": False}
    assert shop.ask("SELECT count(*) FROM orders") == [(3 + len(NAUGHTY),)]


async def test_full_text_tables_can_be_read(shop: Shop) -> None:
    with shop.connection() as connection:
        connection.executescript(
            "CREATE VIRTUAL TABLE texts USING fts5(body); INSERT INTO texts VALUES ('hello world')"
        )
    statement = "SELECT body FROM texts WHERE texts MATCH :q"
    assert await shop.run(statement, {"q": "hello"}) == {"rows": [{"body": "hello world"}], "truncated": False}
    failed = await refusal(shop, statement, {"q": '"s3cret-query'}, readonly=True)
    assert failed.code == "upstream_error"
    assert "s3cret" not in failed.reason


# --- writing


async def test_a_write_says_how_much_it_changed(shop: Shop) -> None:
    assert await shop.write("UPDATE orders SET note = :note WHERE total > :least", {"note": "x", "least": 15}) == {
        "changed": 2
    }
    assert await shop.write("DELETE FROM orders WHERE id = 'nobody'") == {"changed": 0}
    assert await shop.write(
        "WITH big AS (SELECT 25 AS least) DELETE FROM orders WHERE total > (SELECT least FROM big)"
    ) == {"changed": 1}
    assert shop.ask("SELECT id, note FROM orders ORDER BY id") == [("ORD-1", "first"), ("ORD-2", "x")]


async def test_returning_gives_rows_and_is_committed_whole(shop: Shop) -> None:
    value = await shop.run("UPDATE orders SET note = 'seen' RETURNING id", readonly=False, max_rows=2)
    assert isinstance(value, dict)
    assert (len(value["rows"]), value["truncated"]) == (2, True)
    assert shop.ask("SELECT count(*) FROM orders WHERE note = 'seen'") == [(3,)]


@pytest.mark.holds("sql:all-or-nothing")
@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE orders SET total = total - 15", "upstream_error"),
        ("INSERT INTO orders VALUES ('ORD-9', 1, NULL, NULL), ('ORD-1', 1, NULL, NULL)", "upstream_error"),
        ("INSERT INTO lines (order_id) VALUES ('ORD-404')", "upstream_error"),
        ("UPDATE orders SET note = 'x' RETURNING id, id", "upstream_bad_response"),
        ("UPDATE orders SET note = 'x' RETURNING zeroblob(3000000)", "upstream_too_large"),
        ("UPDATE orders SET note = zeroblob(5000000)", "upstream_too_large"),
        (f"UPDATE orders SET note = ({COUNT_FOR_EVER})", "upstream_timeout"),
    ],
)
async def test_a_failed_write_changed_nothing(shop: Shop, statement: str, code: str) -> None:
    before = shop.ask("SELECT * FROM orders")
    with pytest.raises(Refused) as refused:
        await shop.run(statement, readonly=False, seconds=0.3)
    assert (refused.value.code, refused.value.executed) == (code, "no")
    assert shop.ask("SELECT * FROM orders") == before
    assert shop.ask("SELECT * FROM lines") == []
    assert await shop.write("UPDATE orders SET note = 'ok'") == {"changed": 3}


async def test_a_constraint_is_named_and_no_value_is(shop: Shop) -> None:
    failed = await refusal(
        shop, "INSERT INTO orders VALUES (:id, 1, :n, NULL)", {"id": "ORD-1", "n": "s3cret"}, readonly=False
    )
    assert failed.reason == "UNIQUE constraint failed: orders.id"


# --- what a statement may not do


@pytest.mark.holds("sql:least-privilege")
@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE 'other.db' AS other",
        "DETACH DATABASE main",
        "PRAGMA query_only=OFF",
        "PRAGMA writable_schema=ON",
        "PRAGMA journal_mode=DELETE",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('evil')",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN DELETE FROM orders; END",
        "DROP TABLE orders",
        "ALTER TABLE orders RENAME TO gone",
        "CREATE INDEX i ON orders (note)",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "UPDATE sqlite_schema SET sql = ''",
        "SELECT 1; DELETE FROM orders",
        "SELECT 1; SELECT 2",
        "SELECT writefile('x', 'y')",
    ],
)
async def test_a_statement_does_nothing_but_read_or_write_rows(shop: Shop, statement: str, readonly: bool) -> None:
    refused = await refusal(shop, statement, readonly=readonly)
    assert (refused.code, refused.executed) in {("upstream_error", "no"), ("upstream_unavailable", "no")}
    assert shop.ask("SELECT count(*) FROM orders") == [(3,)]
    assert sorted(path.name for path in shop.path.parent.iterdir()) == [shop.path.name]


@pytest.mark.holds("sql:least-privilege")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "UPDATE orders SET note = 'x'",
        "INSERT INTO orders VALUES ('x', 1, '', NULL)",
        "WITH a AS (SELECT 1) DELETE FROM orders",
        "DELETE FROM orders RETURNING id",
    ],
)
async def test_a_read_only_tool_cannot_write(shop: Shop, statement: str) -> None:
    assert (await refusal(shop, statement, readonly=True)).code == "upstream_error"
    assert shop.ask("SELECT count(*) FROM orders") == [(3,)]


@pytest.mark.holds("sql:parameters-only")
@pytest.mark.parametrize(
    ("name", "value"), [("a", ["x"]), ("a", {"b": 1}), ("a/b", []), ("a", 2**63), ("a", 2**64 - 1), ("a", -(2**63) - 1)]
)
async def test_what_is_no_sql_value_is_refused_by_name(shop: Shop, name: str, value: object) -> None:
    refused = await refusal(shop, "SELECT 1", {name: value}, readonly=True)
    assert refused.code == "args_invalid"
    assert name.replace("/", "~1") in refused.reason


# --- bounds


@pytest.mark.holds("sql:bounded")
@pytest.mark.parametrize("readonly", [True, False])
async def test_a_statement_that_does_not_end_is_interrupted(shop: Shop, readonly: bool) -> None:
    with pytest.raises(Failed) as failed:
        await shop.run(COUNT_FOR_EVER, readonly=readonly, seconds=0.2)
    assert (failed.value.code, failed.value.transient, failed.value.executed) == ("upstream_timeout", "timeout", "no")


@pytest.mark.holds("sql:bounded")
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT zeroblob(100000000)",
        "SELECT hex(zeroblob(3000000)) AS a",
        "SELECT hex(zeroblob(2000000)) AS a FROM orders AS one, orders AS two",
    ],
)
async def test_rows_that_are_too_large_are_refused(shop: Shop, statement: str) -> None:
    assert (await refusal(shop, statement, readonly=True)).code == "upstream_too_large"


@pytest.mark.parametrize("statement", ["SELECT 9e999 AS a", "SELECT -9e999 AS a", "SELECT 1 AS a, 2 AS a"])
async def test_what_is_not_json_is_refused(shop: Shop, statement: str) -> None:
    assert (await refusal(shop, statement, readonly=True)).code == "upstream_bad_response"


async def test_text_that_is_not_utf8_is_refused(shop: Shop) -> None:
    refused = await refusal(shop, "SELECT CAST(x'73ff' AS TEXT) AS a", readonly=True)
    assert refused.code == "upstream_bad_response"


async def test_a_cancelled_call_stops_its_statement(shop: Shop) -> None:
    connector = shop.open(f"UPDATE orders SET note = ({COUNT_FOR_EVER})", readonly=False)
    task = asyncio.create_task(connector.invoke(invocation(timeout=60)))

    def is_locked() -> bool:
        with shop.connection() as connection:
            connection.execute("PRAGMA busy_timeout=0")
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    await until(is_locked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not is_locked())


async def test_the_event_loop_goes_on_meanwhile(shop: Shop) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    ticking = asyncio.create_task(tick())
    with pytest.raises(Failed):
        await shop.run(COUNT_FOR_EVER, seconds=0.3)
    ticking.cancel()
    assert ticks > 3


# --- the file


@pytest.mark.parametrize("readonly", [True, False])
async def test_a_missing_database_is_not_created(shop: Shop, readonly: bool) -> None:
    shop.path.unlink()
    refused = await refusal(shop, "SELECT 1", readonly=readonly)
    assert (refused.code, refused.executed) == ("upstream_unavailable", "no")
    assert not shop.path.exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_what_is_no_database_is_unavailable(shop: Shop, content: bytes) -> None:
    shop.path.write_bytes(content)
    refused = await refusal(shop, "SELECT * FROM orders", readonly=True)
    assert refused.code == "upstream_unavailable"
    assert shop.path.name not in refused.reason


async def test_a_locked_database_is_waited_for_and_then_unavailable(shop: Shop) -> None:
    with shop.connection() as other:
        other.execute("BEGIN EXCLUSIVE")
        for readonly in (True, False):
            with pytest.raises(Failed) as failed:
                await shop.run("SELECT * FROM orders", readonly=readonly, seconds=0.1)
            assert (failed.value.code, failed.value.transient) == ("upstream_unavailable", "connect")
    assert await shop.write("UPDATE orders SET note = 'ok'") == {"changed": 3}


async def test_a_replaced_file_is_opened_again(shop: Shop, tmp_path: Path) -> None:
    connector = shop.open("SELECT count(*) AS n FROM orders")
    assert (await connector.invoke(invocation())).value == {"rows": [{"n": 3}], "truncated": False}
    other = Shop(tmp_path / "other.db", shop.means)
    with other.connection() as connection:
        connection.execute("DELETE FROM orders")
    other.path.replace(shop.path)
    assert (await connector.invoke(invocation())).value == {"rows": [{"n": 0}], "truncated": False}


async def test_many_calls_at_once(shop: Shop) -> None:
    connector = shop.open("UPDATE orders SET total = total + 1 WHERE id = 'ORD-2' RETURNING total", readonly=False)
    replies = await asyncio.gather(*(connector.invoke(invocation(timeout=20)) for _ in range(16)))
    found = [reply.value for reply in replies]
    for total in range(21, 37):
        assert {"rows": [{"total": total}], "truncated": False} in found
