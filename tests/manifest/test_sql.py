"""One statement, fixed text, named parameters, on a database that is not the guard's own."""

import os
from pathlib import Path

import pytest

from mcp_guard.manifest.sql import writes
from mcp_guard.model.tool import SqlSpec
from tests.manifest.conftest import Compile, Lint
from tests.manifest.texts import manifest, sql, tool

STATEMENTS = [
    ("attach", "ATTACH DATABASE :text AS x", "statement"),
    ("pragma", "PRAGMA journal_mode = :text", "statement"),
    ("vacuum into", "VACUUM INTO :text", "statement"),
    ("create", "CREATE TABLE a AS SELECT :text", "statement"),
    ("drop", "DROP TABLE a /* :text */", "statement"),
    ("explain", "EXPLAIN SELECT :text", "statement"),
    ("begin", "BEGIN", "statement"),
    ("two statements", "SELECT :text; SELECT 1", "statement"),
    ("second attach", "SELECT :text; ATTACH 'x' AS y;", "statement"),
    ("nothing", "  -- SELECT :text", "statement"),
    ("open quote", "SELECT :text, 'a", "statement"),
    ("with, but no verb", "WITH a AS (SELECT 1) ATTACH :text AS b", "statement"),
    ("write in read-only", "DELETE FROM a WHERE b = :text", "readonly"),
    ("write behind with", "WITH a AS (SELECT :text) DELETE FROM b", "readonly"),
    ("unknown parameter", "SELECT :text, :txet", "unknown_argument"),
    ("positional", "SELECT :text, ?", "parameter"),
    ("numbered", "SELECT :text, ?1", "parameter"),
    ("at", "SELECT :text, @text", "parameter"),
    ("dollar", "SELECT :text, $text", "parameter"),
    ("template", "SELECT :text, {text}", "template"),
    ("secret", "SELECT :text, '${secret:k}'", "reference_place"),
]


@pytest.mark.holds("manifest:sql-fixed")
@pytest.mark.parametrize(("statement", "code"), [row[1:] for row in STATEMENTS], ids=[row[0] for row in STATEMENTS])
def test_a_statement_that_is_not_for_tools_is_refused(lint_texts: Lint, statement: str, code: str) -> None:
    catalog, problems = lint_texts(manifest(tool(connector=sql(statement))))
    assert catalog is None
    assert code in [problem.code for problem in problems if problem.severity == "error"], "\n".join(map(str, problems))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT :text",
        "select :text;",
        "VALUES (:text)",
        "SELECT ':nothing ? @a $b ; {x}', :text",
        "SELECT `a:b`, [c:d], :text FROM t -- ? ; :nothing",
        "SELECT /* ; :nothing */ :text",
        "WITH a AS (SELECT replace(:text, 'a', 'b') AS c) SELECT c FROM a",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION SELECT i + 1 FROM n LIMIT 3) SELECT i, :text FROM n",
    ],
)
def test_a_reading_statement_is_read_as_one(lint_texts: Lint, statement: str) -> None:
    catalog, problems = lint_texts(manifest(tool(connector=sql(statement), more="effects: none")))
    assert catalog is not None, "\n".join(map(str, problems))
    assert problems == []
    assert not writes(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM a WHERE b = :text",
        "insert into a values (:text)",
        "/* SELECT */ UPDATE a SET b = :text RETURNING b",
        "REPLACE INTO a VALUES (:text)",
        "WITH a AS (SELECT 1) INSERT INTO b SELECT :text FROM a",
    ],
)
def test_a_writing_statement_is_read_as_one(lint_texts: Lint, statement: str) -> None:
    assert writes(statement)
    catalog, _ = lint_texts(manifest(tool(connector=sql(statement, "readonly: false"))))
    assert catalog is not None
    catalog, problems = lint_texts(manifest(tool(connector=sql(statement, "readonly: false"), more="effects: none")))
    assert catalog is None
    assert [problem.code for problem in problems] == ["effects"]


def test_a_list_is_no_parameter(lint_texts: Lint) -> None:
    catalog, problems = lint_texts(manifest(tool(connector=sql(), properties="{text: {type: array}}")))
    assert catalog is None
    assert [problem.code for problem in problems] == ["argument_type"]


DATABASES = [
    ("the store", "sqlite:var/guard.db", "reaches_home"),
    ("its log", "sqlite:var/guard.db-wal", "reaches_home"),
    ("its shared memory", "sqlite:var/guard.db-shm", "reaches_home"),
    ("its journal", "sqlite:var/guard.db-journal", "reaches_home"),
    ("its lock", "sqlite:var/guard.db.lock", "reaches_home"),
    ("the store in capitals", "sqlite:VAR/Guard.DB", "reaches_home"),
    ("the store by detour", "sqlite:var/./guard.db", "reaches_home"),
    ("a key", "sqlite:var/keys/signing", "reaches_home"),
    ("the policy", "sqlite:policy/policy.csv", "reaches_home"),
    ("new in policy", "sqlite:policy/tests/x.yaml", "reaches_home"),
    ("a manifest", "sqlite:tool_manifests/x.yaml", "reaches_home"),
    ("the configuration", "sqlite:mcp-guard.yaml", "reaches_home"),
    ("absolute", "sqlite:/tmp/x.db", "path"),
    ("two slashes", "sqlite://tmp/x.db", "path"),
    ("upwards", "sqlite:../x.db", "path"),
    ("upwards inside", "sqlite:var/../../x.db", "path"),
    ("a drive", "sqlite:C:/x.db", "path"),
    ("a backslash", "sqlite:var\\\\x.db", "path"),
    ("a URI", "sqlite:var/x.db?mode=rwc", "path"),
    ("an encoded path", "sqlite:var/%2e%2e/x.db", "path"),
    ("the home", "sqlite:.", "path"),
    ("nothing", "sqlite:", "path"),
    ("a secret", "sqlite:${secret:db}", "reference_place"),
    ("another engine", "mysql://db/x", "value"),
    ("a bare path", "var/x.db", "value"),
]


@pytest.mark.holds("manifest:cannot-reach-home")
@pytest.mark.parametrize("readonly", ["true", "false"])
@pytest.mark.parametrize(("database", "code"), [row[1:] for row in DATABASES], ids=[row[0] for row in DATABASES])
def test_a_database_that_is_not_the_tools_own_is_refused(
    lint_texts: Lint, database: str, code: str, readonly: str
) -> None:
    catalog, problems = lint_texts(manifest(tool(connector=sql(database=database, more=f"readonly: {readonly}"))))
    assert catalog is None
    assert [problem.code for problem in problems] == [code], "\n".join(map(str, problems))


@pytest.mark.skipif(os.name != "posix", reason="links need privileges on Windows")
@pytest.mark.holds("manifest:cannot-reach-home")
def test_links_are_seen_through(lint_texts: Lint, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (home / "var/guard.db").touch()
    (home / "policy/policy.csv").touch()
    (home / "out").symlink_to(outside)
    (home / "in").symlink_to(home / "var/keys")
    (home / "store").symlink_to("var/guard.db")
    os.link(home / "var/guard.db", home / "hard.db")
    os.link(home / "policy/policy.csv", home / "hard.csv")
    for database, code in [
        ("out/x.db", "path"),
        ("in/x.db", "reaches_home"),
        ("store", "reaches_home"),
        ("hard.db", "reaches_home"),
        ("hard.csv", "reaches_home"),
    ]:
        catalog, problems = lint_texts(manifest(tool(connector=sql(database=f"sqlite:{database}"))))
        assert catalog is None, database
        assert [problem.code for problem in problems] == [code], database


def test_a_statement_compiles(compile_tool: Compile, home: Path) -> None:
    spec = compile_tool(manifest(tool(connector=sql("SELECT :text", "max_rows: 5")))).connector
    assert spec == SqlSpec("sql", str(home.resolve() / "var/notes.db"), True, "SELECT :text", 5)
