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
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, ElicitResult, PromptReference, Result

from tests.conformance import suite
from tests.simulators.process import Program
from tests.upstreams.world import World

HERE = Path(__file__).parent
IMAGE = '{"type":"image","data":"iVBORw'
READ, GET, COMPLETE = "read ", "get ", "complete "
INSTALLED = HERE.parents[1] / ".venv" / "upstreams"


@dataclass(frozen=True)
class Case:
    """A call and how it ends: `done` with a text in the answer, or a code and the rule or words that go with it. It is
    `told` at least so many times how far it is."""

    what: str
    tool: str
    arguments: dict[str, Any]
    ends: str
    holds: str
    told: int = 0


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
    yield Case(
        "progress", "everything_trigger-long-running-operation", {"duration": 2, "steps": 4}, "done", "completed", 4
    )
    yield Case("a question about a pin", "everything_trigger-elicitation-request", {}, "done", "declined to provide")
    yield Case("the server's environment", "everything_get-env", {}, "done", "PATH")
    yield from _offers()


def _offers() -> Iterator[Case]:
    """Reads, prompts and completions: cases whose tool begins with what is done."""
    static, dynamic = f"{READ}everything+demo://resource/static/document/", f"{READ}everything+demo://resource/dynamic/"
    yield Case("a document", f"{static}features.md", {}, "done", "Features")
    yield Case("a document without a rule", f"{static}structure.md", {}, "policy_denied", "guard:default")
    yield Case("a document nobody allowed", f"{static}startup.md", {}, "hidden", "")
    yield Case("a text of a template", f"{dynamic}text/7", {}, "done", "Resource 7")
    # Listed as application/octet-stream, and read as text/plain.
    yield Case("bytes of another type", f"{dynamic}blob/7", {}, "upstream_bad_response", "type that was let in")
    yield Case("another text", f"{dynamic}text/8", {}, "policy_denied", "guard:default")
    yield Case("a way out of a template", f"{dynamic}text/..%2Fblob", {}, "hidden", "")
    yield Case("a prompt", f"{GET}everything_simple-prompt", {}, "done", "simple prompt")
    yield Case("a prompt with an argument", f"{GET}everything_args-prompt", {"city": "Paris"}, "done", "in Paris")
    yield Case("a prompt without its argument", f"{GET}everything_args-prompt", {}, "args_invalid", "city")
    yield Case("a prompt nobody allowed", f"{GET}everything_resource-prompt", {}, "hidden", "")
    begun = {"department": "Eng"}
    yield Case("a completion", f"{COMPLETE}everything_completable-prompt", begun, "done", "Engineering")


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
    """Let everything in; how many cannot be."""
    done = program.run("--json", "tools", "lock")
    if done.status != 0:
        print(done.out, done.err)
        return 1
    unusable = [one for one in done.json if one["state"] == "unusable"]
    print(f"{len(done.json) - len(unusable)} tools, resources and prompts let in, {len(unusable)} not")
    for one in unusable:
        print(f"  BAD {one['upstream']}: {one['why']}")
    return len(unusable)


async def call(program: Program, world: World) -> int:
    """Make every call; how many end otherwise."""
    wrong = 0
    command, *arguments = program.command("--quiet", "serve", "--stdio")
    way = StdioServerParameters(command=command, args=arguments)
    async with Client(way, elicitation_callback=_answer) as client:
        for case in cases(world):
            heard: list[float] = []
            ended, said = await _ended(client, case, heard)
            well = ended == case.ends and case.holds in said and len(heard) >= case.told
            wrong += not well
            print(
                f"  {'ok ' if well else 'BAD'} {case.what:<28} {case.tool[-52:]:<52} {ended}"
                + ("" if well else f": {said}")
            )
    return wrong


async def _answer(context: Any, params: Any) -> ElicitResult:
    """What a person of the suite says in every form."""
    said: dict[str, Any] = {"mcp_guard_send": "yes", "name": "Ada of the suite"}
    fields = params.requested_schema["properties"]
    return ElicitResult(action="accept", content={name: said[name] for name in said if name in fields})


async def _ended(client: Client, case: Case, heard: list[float]) -> tuple[str, str]:
    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    try:
        result = await _asked(client, case, hear)
    except MCPError as error:
        if isinstance(error.error.data, dict) and "guard" in error.error.data:
            return str(error.error.data["guard"]["code"]), error.message
        return "hidden" if error.code == INVALID_PARAMS else f"error {error.code}", error.message
    said = result.model_dump_json(by_alias=True)
    if not isinstance(result, CallToolResult):
        return "done", said
    told = (result.structured_content or {}).get("guard")
    return (str(told["code"]), said) if isinstance(told, dict) else ("done", said)


async def _asked(client: Client, case: Case, hear: ProgressFnT) -> Result:
    if case.tool.startswith(READ):
        return await client.read_resource(case.tool.removeprefix(READ))
    if case.tool.startswith(GET):
        return await client.get_prompt(case.tool.removeprefix(GET), case.arguments)
    if case.tool.startswith(COMPLETE):
        prompt = PromptReference(type="ref/prompt", name=case.tool.removeprefix(COMPLETE))
        ((name, value),) = case.arguments.items()
        return await client.complete(prompt, {"name": name, "value": value})
    return await client.call_tool(case.tool, case.arguments, progress_callback=hear)


if __name__ == "__main__":
    sys.exit(main())
