"""docs/openapi.md is run: its description and its manifest are a home, and its commands and calls do what it says."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_guard.cli.root import run
from tests.cli.conftest import Guard
from tests.simulators.upstream import Seen, UpstreamSimulator, Wire

PAGE = (Path(__file__).parents[2] / "docs" / "openapi.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```([^\n]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line[2:] for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
CALLS = [(*kind.split(" ", 3)[2:], text) for kind, text in BLOCKS if kind.startswith("json call ")]
RULES = """\
p, docs-list, user:me, *, home, list, *, True, allow, -, the tools of the page
p, docs-call, user:me, *, home, call, *, True, allow, -, the tools of the page
"""


def store(seen: Seen, wire: Wire) -> None:
    if seen.header("x-api-key") != "key-of-the-docs":
        wire.respond(401, [], b"")
    elif seen.method == "PUT":
        wire.respond(204, [], b"")
    else:
        pet = {"id": 7, "name": "Rex", "tag": None}
        answer = [pet] if seen.target.startswith("/v1/pets?") else pet
        wire.respond(200, [("Content-Type", "application/json")], json.dumps(answer).encode())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("docs") / "home"
    assert run(("--quiet", "init", str(directory))) == 0
    with UpstreamSimulator() as upstream:
        upstream.behaviour = store
        for kind, text in BLOCKS:
            if kind.startswith("yaml file "):
                path = directory / kind.removeprefix("yaml file ")
                path.parent.mkdir(parents=True)
                path.write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream.port}"))
            elif kind == "yaml manifest":
                (directory / "tool_manifests" / "petstore.yaml").write_text(text)
        with (directory / "policy" / "policy.csv").open("a") as rules:
            rules.write(RULES)
        yield directory


@pytest.mark.holds("import:documented")
def test_the_page_is_run(home: Path, run_here: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_GUARD_SECRET_PETSTORE", "key-of-the-docs")
    monkeypatch.chdir(home)
    assert len(COMMANDS) == 3
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        done = run_here(*arguments)
        assert (program, done.status) == ("mcp-guard", 0), done.err
    assert {problem["code"] for problem in run_here("--json", "tools", "lint").json} <= {"unlimited_destructive"}
    assert len(CALLS) == 3
    for name, given, answer in CALLS:
        done = run_here("--json", "call", name, "--args", given)
        assert done.status == 0, done.out + done.err
        assert done.json["structuredContent"] == json.loads(answer)


def test_every_key_of_an_import_is_explained() -> None:
    from mcp_guard.manifest.document import ImportEntry

    assert {name for name in ImportEntry.model_fields if f"`{name}`" not in PAGE} == set()
