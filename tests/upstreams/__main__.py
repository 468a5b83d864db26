"""`make upstreams`: real servers of other people behind a serving home, called by a real client.

Every tool has to be one that can be let in, and every call has to end as `cases` says.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from tests.conformance import suite
from tests.simulators.process import Program
from tests.upstreams.world import World

HERE = Path(__file__).parent
IMAGE = '{"type":"image","data":"iVBORw'
INSTALLED = HERE.parents[1] / ".venv" / "upstreams"


@dataclass(frozen=True)
class Case:
    """A call and how it ends: `done` with a text in the answer, or a code and the rule or words that go with it."""

    what: str
    tool: str
    arguments: dict[str, Any]
    ends: str
    holds: str


def cases(world: World) -> Iterator[Case]:
    """Every call, in order."""
    project, repository, read = world.project, world.repository, "files_read_text_file"
    yield Case("a file of the project", read, {"path": f"{project}/readme.txt"}, "done", "read me")
    yield Case("its environment file", read, {"path": f"{project}/.env"}, "policy_denied", "environment")
    yield Case("a file outside", read, {"path": f"{world.directory}/outside.txt"}, "policy_denied", "guard:default")
    yield Case("a way out", read, {"path": f"{project}/../outside.txt"}, "policy_denied", "guard:default")
    yield Case("a link out: the server", read, {"path": f"{project}/link.txt"}, "upstream_error", "outside allowed")
    yield Case("a picture", "files_read_media_file", {"path": f"{project}/pixel.png"}, "done", IMAGE)
    yield Case("a tool nobody allowed", "files_write_file", {"path": f"{project}/x", "content": ""}, "hidden", "")
    yield Case("a repository", "git_git_log", {"repo_path": str(repository)}, "done", "the first one")
    yield Case("its state", "git_git_status", {"repo_path": str(repository)}, "done", "nothing to commit")
    yield Case("another repository", "git_git_log", {"repo_path": str(project)}, "policy_denied", "guard:default")
    away = {"repo_path": f"{repository}/../project"}
    yield Case("a way out of it", "git_git_log", away, "policy_denied", "guard:default")
    noon = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    yield Case("a clock", "time_convert_time", noon, "done", "21:00")
    yield Case("an echo", "everything_echo", {"message": "hello"}, "done", "hello")
    yield Case("an image", "everything_get-tiny-image", {}, "done", IMAGE)
    yield Case("a link", "everything_get-resource-links", {"count": 2}, "done", "resource_link")
    yield Case("structure", "everything_get-structured-content", {"location": "New York"}, "done", "temperature")
    yield Case("the server's environment", "everything_get-env", {}, "done", "PATH")


def main() -> int:
    """Install, lock, call; the exit status."""
    places = install()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.make(places)
        program = Program(world.home)
        wrong = lock(program) + asyncio.run(call(program, world))
        verified = program.run("audit", "verify")
        wrong += verified.status != 0
        print(f"\nthe records: {verified.out.strip().splitlines()[-1]}")
    return 1 if wrong else 0


def install() -> dict[str, Path]:
    """Bring the servers, at the versions the locks name; where they are."""
    suite.install(INSTALLED, HERE)
    environment = INSTALLED / "servers"
    if not environment.exists():
        suite.make_environment(environment, HERE.parents[1] / "requirements" / "upstreams.txt")
    modules = INSTALLED / "node_modules" / "@modelcontextprotocol"
    return {"node": suite.node(INSTALLED), "modules": modules, "bin": environment / "bin"}


def lock(program: Program) -> int:
    """Let the tools in; how many cannot be."""
    done = program.run("--json", "tools", "lock")
    if done.status != 0:
        print(done.out, done.err)
        return 1
    unusable = [one for one in done.json if one["state"] == "unusable"]
    print(f"{len(done.json) - len(unusable)} tools let in, {len(unusable)} not")
    for one in unusable:
        print(f"  BAD {one['upstream']} {one['tool']}: {one['why']}")
    return len(unusable)


async def call(program: Program, world: World) -> int:
    """Make every call; how many end otherwise."""
    wrong = 0
    command, *arguments = program.command("--quiet", "serve", "--stdio")
    async with Client(StdioServerParameters(command=command, args=arguments)) as client:
        for case in cases(world):
            ended, said = await _ended(client, case)
            well = ended == case.ends and case.holds in said
            wrong += not well
            print(
                f"  {'ok ' if well else 'BAD'} {case.what:<28} {case.tool:<34} {ended}" + ("" if well else f": {said}")
            )
    return wrong


async def _ended(client: Client, case: Case) -> tuple[str, str]:
    try:
        result = await client.call_tool(case.tool, case.arguments)
    except MCPError as error:
        return "hidden" if error.code == INVALID_PARAMS else f"error {error.code}", error.message
    said = result.model_dump_json(by_alias=True)
    told = (result.structured_content or {}).get("guard")
    return (str(told["code"]), said) if isinstance(told, dict) else ("done", said)


if __name__ == "__main__":
    sys.exit(main())
