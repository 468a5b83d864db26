"""`make conformance`: the official MCP conformance suite against a serving home, for both revisions of the protocol.

Every check the suite makes has to pass, but for those `expected.yaml` names with the reason. One that fails without
being named there, and one named there that passes, fail the run.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conformance import suite
from tests.conformance.proxy import adding_token
from tests.simulators.process import Program, Serving
from tests.simulators.raw import call_body, exchange, request

HERE = Path(__file__).parent
REVISIONS = ("2026-07-28", "2025-11-25")
INSTALLED = HERE.parents[1] / ".venv" / "conformance"

Expected = Mapping[str, Mapping[str, str]]
"""Why checks fail, by scenario and check; `*` stands for a scenario of which nothing can pass."""


def unexpected(verdicts: suite.Verdicts, expected: Expected) -> list[str]:
    """What differs from what is expected of a revision."""
    found = []
    for scenario, checks in sorted(verdicts.items()):
        reasons = expected.get(scenario, {})
        failed = {check for check, verdict in checks.items() if verdict == "FAILURE"}
        if "*" in reasons:
            found += [] if failed else [f"{scenario} passes, and is not expected to"]
            continue
        found += [f"{scenario}: {check} fails" for check in sorted(failed - reasons.keys())]
        found += [f"{scenario}: {check} is not expected to pass" for check in sorted(reasons.keys() - failed)]
    return found + [
        f"{scenario} is expected to fail, and did not run" for scenario in expected.keys() - verdicts.keys()
    ]


@asynccontextmanager
async def deciding(serving: Serving, token: str) -> AsyncIterator[None]:
    """Somebody who agrees to what waits: to `slow_compute` after its `seconds`, to anything else at once."""
    seen: set[str] = set()
    later: set[asyncio.Task[None]] = set()

    async def call(tool: str, **arguments: object) -> Any:
        answer = await exchange(serving.port, request(serving.port, call_body(tool, arguments), token=token, tool=tool))
        result: Any = answer.json["result"]
        return result["structuredContent"]

    async def agree(identifier: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await call("approval_decide", approval_id=identifier, decision="approve")

    async def watch() -> None:
        while True:
            for waiting in (await call("approval_list"))["approvals"]:
                if waiting["id"] not in seen:
                    seen.add(waiting["id"])
                    seconds = float(waiting["arguments"].get("seconds", 0.3))
                    later.add(asyncio.create_task(agree(waiting["id"], seconds)))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        for task in (watching, *later):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _home(folder: Path) -> Path:
    """The home the suite is run against, with what its upstream offers locked."""
    home = folder / "home"
    shutil.copytree(HERE / "home", home)
    tools = home / "tools.yaml"
    text = tools.read_text(encoding="utf-8")
    for key, path in {"python": sys.executable, "upstream": HERE / "upstream.py"}.items():
        text = text.replace(f"{{{key}}}", str(path))
    tools.write_text(text, encoding="utf-8")
    locked = Program(home).run("tools", "lock")
    if locked.status != 0:
        raise RuntimeError(locked.err)
    return home


async def revision(name: str) -> suite.Verdicts:
    """What the suite says about a fresh home at one revision."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program(_home(Path(folder)))
        token, decider = program.token("user:suite"), program.token("user:decider")
        with program.http() as serving:
            async with adding_token(serving.port, token) as port, deciding(serving, decider):
                return await suite.run(INSTALLED, f"http://127.0.0.1:{port}/mcp", name, Path(folder) / "results")


def main() -> int:
    """Run both revisions and print what came of every scenario; the exit status."""
    suite.install(INSTALLED)
    expected = YAML(typ="safe").load(HERE / "expected.yaml")
    wrong = 0
    for name in REVISIONS:
        verdicts = asyncio.run(revision(name))
        print(f"\n{name}: {len(verdicts)} scenarios")
        for scenario, checks in sorted(verdicts.items()):
            counts = {verdict: list(checks.values()).count(verdict) for verdict in sorted(set(checks.values()))}
            print(f"  {scenario:<50} " + ", ".join(f"{count} {verdict.lower()}" for verdict, count in counts.items()))
        differing = unexpected(verdicts, expected[name])
        wrong += len(differing)
        for text in differing or ["as expected"]:
            print(f"  {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
