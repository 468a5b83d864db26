"""SQL stands in files, under names."""

import ast
import re
from pathlib import Path

import pytest

import mcp_guard
from mcp_guard.store.queries import migrations, named, split, statements

SQL = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|COMMIT|ATTACH)\b")


@pytest.mark.holds("store:sql-in-files")
def test_no_statement_stands_in_the_code_of_the_store() -> None:
    found = []
    for path in (Path(mcp_guard.__file__).parent / "store").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_statements_are_found_by_name() -> None:
    text = "-- a comment\n\n-- name: one\nSELECT 1;\n\n-- name: two\n-- about it\nSELECT 2;\n"
    assert list(named(text)) == [("one", "SELECT 1;"), ("two", "-- about it\nSELECT 2;")]


def test_every_statement_the_code_asks_for_exists() -> None:
    asked = set()
    for path in Path(mcp_guard.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = node.args[0]
                if node.func.attr in ("run", "one", "all", "peek") and isinstance(name, ast.Constant):
                    asked.add(name.value)
    assert asked
    assert asked <= set(statements())


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_script_is_split_where_statements_end_and_not_inside_a_trigger() -> None:
    script = "CREATE TABLE a (b);\nCREATE TRIGGER c AFTER INSERT ON a\nBEGIN\n    DELETE FROM a;\nEND;\n"
    assert [statement.split()[1] for statement in split(script)] == ["TABLE", "TRIGGER"]
