"""A statement on PostgreSQL as it is written: one, fixed, with parameters in their places; and where it goes."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from mcp_guard.manifest import sql as compiling
from mcp_guard.manifest.sql_text import POSTGRES, positional, verb, writes
from mcp_guard.model.tool import PostgresSpec
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import manifest, tool

pytestmark = pytest.mark.skipif(find_spec("asyncpg") is None, reason="the extra `postgres` is not installed")


def sql(statement: str = "SELECT :text", more: str = "", database: str = "postgresql://app@db.example/shop") -> str:
    extra = f", {more}" if more else ""
    return f'sql: {{database: "{database}", statement: "{statement}"{extra}}}'


def errors(lint_texts: Lint, connector: str, more: str = "") -> list[str]:
    catalog, problems = lint_texts(manifest(tool(connector=connector, more=more)))
    found = [problem.code for problem in problems if problem.severity == "error"]
    assert (catalog is None) == bool(found)
    return found


def spec(compile_tool: Compile, connector: str) -> PostgresSpec:
    found = compile_tool(manifest(tool(connector=connector))).connector
    assert isinstance(found, PostgresSpec)
    return found


def test_where_it_goes_and_what_it_says(compile_tool: Compile) -> None:
    found = spec(compile_tool, sql("SELECT :text::int, :text", 'password: "${secret:db}"'))
    assert found == PostgresSpec(
        kind="sql",
        host="db.example",
        port=5432,
        user="app",
        database="shop",
        password="${secret:db}",
        tls=True,
        ca=None,
        readonly=True,
        statement="SELECT $1::int, $1",
        parameters=("text",),
        max_rows=100,
    )
    there = spec(compile_tool, sql(database="postgres://a%40b@[::1]:6543/x"))
    assert (there.host, there.port, there.user, there.tls) == ("::1", 6543, "a@b", False)


@pytest.mark.holds("manifest:sql-fixed")
@pytest.mark.parametrize(
    ("statement", "text", "names"),
    [
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ("b", "a")),
        ("SELECT ':a', \":b\", :c -- :d", "SELECT ':a', \":b\", $1 -- :d", ("c",)),
        ("SELECT E'it\\'s :a', :b", "SELECT E'it\\'s :a', $1", ("b",)),
        ("SELECT $$ :a ; ' $$, :b", "SELECT $$ :a ; ' $$, $1", ("b",)),
        ("SELECT $t$ $$ :a $t$, :b", "SELECT $t$ $$ :a $t$, $1", ("b",)),
        ("SELECT x::text, ARRAY[:a]::int[], y[1:2]", "SELECT x::text, ARRAY[$1]::int[], y[1:2]", ("a",)),
        ("SELECT data ? :k AND data @> :v", "SELECT data ? $1 AND data @> $2", ("k", "v")),
        ("SELECT /* :a ; */ :b", "SELECT /* :a ; */ $1", ("b",)),
        ("SELECT 1 AS größe, :a", "SELECT 1 AS größe, $1", ("a",)),
    ],
)
def test_parameters_are_found_where_they_are(statement: str, text: str, names: tuple[str, ...]) -> None:
    assert positional(statement, POSTGRES) == (text, names)
    assert verb(statement, POSTGRES) == "SELECT"


@pytest.mark.holds("manifest:sql-fixed")
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE x;",
        "BEGIN",
        "COMMIT",
        "SET ROLE postgres",
        "COPY x TO PROGRAM 'sh'",
        "DO $$ BEGIN END $$",
        "CALL spend()",
        "TRUNCATE x",
        "CREATE TABLE x (a int)",
        "EXPLAIN ANALYZE DELETE FROM x",
        "SELECT * INTO y FROM x",
        "SELECT 'a",
        "SELECT E'a\\'",
        "SELECT $$ a",
        "SELECT $t$ a $$",
        "SELECT 1 /* /* */ ; DELETE FROM x */",
        "SELECT 1 /*",
        "",
        "-- SELECT 1",
    ],
)
def test_what_is_not_one_statement_for_tools_is_none(statement: str) -> None:
    assert verb(statement, POSTGRES) is None


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("INSERT INTO a VALUES (1)", True),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", True),
        ("WITH a AS (SELECT 1) UPDATE b SET c = 1", True),
        ("WITH a AS (DELETE FROM b RETURNING c) SELECT c FROM a", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE", False),
        ("SELECT 'DELETE'", False),
        ("VALUES (1)", False),
    ],
)
def test_what_writes_is_seen(statement: str, found: bool) -> None:
    assert writes(statement, POSTGRES) == found


@pytest.mark.parametrize(
    ("connector", "codes"),
    [
        (sql(database="postgresql://app:hunter2@db.example/shop"), ["value"]),
        (sql(database="postgresql://app:${secret:x}@db.example/shop"), ["value"]),
        (sql(database="postgresql://db.example/shop"), ["value"]),
        (sql(database="postgresql://app@db.example"), ["value"]),
        (sql(database="postgresql://app@db.example/shop?sslmode=disable"), ["value"]),
        (sql(database="postgresql://app@a.example,b.example/shop"), ["value"]),
        (sql(database="postgresql://app@db.example:0/shop"), ["value"]),
        (sql(database="postgresql://app@{text}/shop"), ["value"]),
        (sql(database="postgresql:///shop"), ["value"]),
        (sql(more="password: hunter2"), ["literal_secret"]),
        (sql(more="password: 'x${secret:db}'"), ["literal_secret"]),
        (sql(more="tls: prefer"), ["value"]),
        (sql(more="ca: nowhere.pem"), ["path"]),
        (sql("SELECT :text, $1"), ["parameter"]),
        (sql("SELECT :other, :text"), ["unknown_argument"]),
        (sql("SELECT {text}"), ["template", "template"]),
        (sql("DELETE FROM a WHERE b = :text"), ["readonly"]),
        (sql("WITH a AS (DELETE FROM b RETURNING c) SELECT c, :text FROM a"), ["readonly"]),
        (sql("SELECT '${secret:k}', :text"), ["reference_place"]),
        (sql(database="sqlite:var/notes.db", more="password: '${secret:db}'"), ["database"]),
        (sql(database="sqlite:var/notes.db", more="tls: verify"), ["database"]),
    ],
)
def test_what_cannot_be_kept_is_refused(lint_texts: Lint, connector: str, codes: list[str]) -> None:
    assert errors(lint_texts, connector) == codes


def test_no_complaint_shows_a_password(lint_texts: Lint) -> None:
    _, problems = lint_texts(manifest(tool(connector=sql(database="postgresql://app:hunter2@db.example/shop"))))
    assert "hunter2" not in "".join(map(str, problems))


def test_a_tool_that_may_write_has_effects(lint_texts: Lint) -> None:
    assert errors(lint_texts, sql("SELECT spend(:text)", "readonly: false"), "effects: none") == ["effects"]
    assert errors(lint_texts, sql("SELECT spend(:text)"), "effects: none") == []


@pytest.mark.parametrize(
    ("database", "more", "warned"),
    [
        ("postgresql://app@db.example/shop", "", False),
        ("postgresql://app@db.example/shop", "tls: 'off'", True),
        ("postgresql://app@127.0.0.1/shop", "", False),
        ("postgresql://app@localhost/shop", "tls: verify", False),
    ],
)
def test_plain_text_is_warned_of(lint_texts: Lint, database: str, more: str, warned: bool) -> None:
    _, problems = lint_texts(manifest(tool(connector=sql(database=database, more=more))))
    assert ("plaintext" in [problem.code for problem in problems]) == warned


def test_an_authority_means_nothing_without_tls(lint_texts: Lint, home: Path) -> None:
    (home / "ca.pem").write_text("")
    assert errors(lint_texts, sql(more="ca: ca.pem, tls: 'off'")) == ["tls"]
    assert errors(lint_texts, sql(more="ca: ca.pem")) == []


def test_without_the_driver_the_extra_is_named(lint_texts: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "find_spec", lambda _: None)
    _, problems = lint_texts(manifest(tool(connector=sql())))
    assert [(problem.code, "mcp-guard[postgres]" in problem.hint) for problem in problems] == [
        ("missing_package", True)
    ]


@pytest.mark.holds("manifest:fingerprint")
def test_the_fingerprint_covers_where_and_what(compile_tool: Compile, home: Path) -> None:
    (home / "ca.pem").write_text("")
    variants = [
        sql(),
        sql(database="postgresql://other@db.example/shop"),
        sql(database="postgresql://app@other.example/shop"),
        sql(database="postgresql://app@db.example:1/shop"),
        sql(database="postgresql://app@db.example/other"),
        sql("SELECT :text, 1"),
        sql(more='password: "${secret:db}"'),
        sql(more="tls: 'off'"),
        sql(more="ca: ca.pem"),
        sql(more="readonly: false"),
        sql(more="max_rows: 9"),
    ]
    prints = {compile_tool(manifest(tool(connector=variant))).fingerprint for variant in variants}
    assert len(prints) == len(variants)
