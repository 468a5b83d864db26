"""`make described`: a large description of a public service becomes tools, called at a service made from it.

Every operation that can be a tool has to be let in; every call has to reach the operation it names, and no other; what
comes back is held to the schema the description gives it.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from mcp_guard.manifest.imports import tool_name
from tests.conformance import suite
from tests.described.service import Operation, Service, described, serving
from tests.simulators.process import Program

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".venv" / "described"
DESCRIPTION = Path("node_modules", "@octokit", "openapi", "generated", "api.github.com.json")
PREFIX = "github"
FEWEST_TOOLS = 1000
DONE = "answered as described"
OTHERWISE = "the description's own example is not what it describes: refused"
TOOLS = """\
apiVersion: mcp-guard/v1
kind: Tools
toolset: github
imports:
  - openapi: description.json
    prefix: {prefix}
    include: {{operations: ["*"]}}
    server: "http://127.0.0.1:{port}"
    egress: {{networks: [127.0.0.1/32]}}
"""
RULE = "p, all, user:suite, *, acme, *, toolset:github, True, allow, -, whatever is described may be called\n"


def main() -> int:
    """Install, let in, call; the exit status."""
    suite.install(INSTALLED, HERE)
    document = json.loads((INSTALLED / DESCRIPTION).read_bytes())
    service = Service(described(document))
    with tempfile.TemporaryDirectory() as folder, serving(service) as port:
        program = Program(_home(Path(folder) / "home", port))
        begun = time.perf_counter()
        locked = program.run("--json", "tools", "lock")
        if locked.status != 0:
            print(locked.out[-2000:], locked.err)
            return 1
        tools = {one["tool"] for one in locked.json if one["state"] != "unusable"}
        print(f"{len(tools)} of {len(locked.json)} operations let in, in {time.perf_counter() - begun:.1f} s")
        with Path(folder, "stderr").open("w") as errors:
            wrong = asyncio.run(_call(program, service, tools, errors)) + (len(tools) < FEWEST_TOOLS)
        verified = program.run("audit", "verify")
        print(f"the records: {verified.out.strip().splitlines()[-1]}")
    return 1 if wrong or verified.status != 0 else 0


def _home(home: Path, port: int) -> Path:
    shutil.copytree(HERE.parent / "upstreams" / "home", home)
    shutil.copyfile(INSTALLED / DESCRIPTION, home / "description.json")
    (home / "tools.yaml").write_text(TOOLS.format(prefix=PREFIX, port=port), encoding="utf-8")
    (home / "policy.csv").write_text(RULE, encoding="utf-8")
    return home


async def _call(program: Program, service: Service, tools: set[str], errors: TextIO) -> int:
    """Call every operation the service knows an answer to; how many ended otherwise than they should."""
    command, *arguments = program.command("--quiet", "serve", "--stdio")
    ends: Counter[str] = Counter()
    wrong = []
    server = StdioServerParameters(command=command, args=arguments)
    async with Client(stdio_client(server, errlog=errors)) as client:
        for operation in service.operations:
            if operation.name in tools:
                ended = await _ended(client, service, operation)
                ends[ended] += 1
                wrong += [] if ended == (DONE if operation.fits else OTHERWISE) else [f"{operation.name}: {ended}"]
    for ended, times in ends.most_common():
        print(f"  {times:5} {ended}")
    for line in wrong:
        print(f"  BAD {line}")
    return len(wrong) + (ends[DONE] == 0)


async def _ended(client: Client, service: Service, operation: Operation) -> str:
    before = len(service.hits)
    result: Any = await client.call_tool(tool_name(PREFIX, operation.name), dict(operation.arguments))
    reached = service.hits[before:]
    if reached != [operation.name]:
        return f"reached {reached}, {result.content[0].text[:200]}"
    told = (result.structured_content or {}).get("guard")
    if not isinstance(told, dict):
        return DONE
    code = told.get("code")
    return OTHERWISE if code == "output_invalid" else f"ended with {code}: {result.content[0].text[:200]}"


if __name__ == "__main__":
    sys.exit(main())
