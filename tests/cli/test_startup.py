"""Commands start fast because they import only what they use (contract section 5). Times are measured elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Guard

SDK = {"mcp", "mcp_types", "starlette", "uvicorn", "anyio"}
HEAVY = {"httpx", "httpcore", "cryptography", "structlog", "rich", "asyncio", "aiosqlite", "ssl"}
UNUSED = {
    "policy check user:me hello_greet": HEAVY,
    "policy explain user:me hello_greet": HEAVY,
    "--json policy replay --since 1h": {"httpx", "cryptography", "structlog", "rich"},
    "audit verify": HEAVY - {"cryptography"} | {"casbin", "jsonschema_rs"},
    "--json tools list": HEAVY | {"casbin"},
    "explain internal": HEAVY | {"casbin", "pydantic", "ruamel", "jsonschema_rs", "orjson", "sqlite3"},
    "--help": HEAVY | {"casbin", "pydantic", "ruamel", "jsonschema_rs", "orjson", "sqlite3"},
    "audit tail": {"httpx", "cryptography", "structlog", "casbin", "jsonschema_rs"},
    "--json freeze --list": {"httpx", "cryptography", "structlog", "casbin", "jsonschema_rs"},
    "call hello_greet name=World": {"httpx", "structlog", "rich"},
    "doctor": {"httpx", "cryptography", "structlog", "rich"},
}
PROBE = """
import json, sys
sys.argv = ["mcp-guard", *json.loads(sys.argv[1])]
from mcp_guard.cli.root import run
status = run(sys.argv[1:])
print(json.dumps([status, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which something is recorded."""
    home = tmp_path_factory.mktemp("used") / "home"
    for arguments in (("init", str(home)), ("--home", str(home), "call", "hello_greet", "name=World")):
        command = [sys.executable, "-m", "mcp_guard", *arguments]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    return home


@pytest.mark.holds("cli:no-sdk", "cli:lazy")
@pytest.mark.parametrize("command", UNUSED)
def test_only_what_is_used_is_imported(command: str, used: Path) -> None:
    arguments = json.dumps(["--home", str(used), *command.split()])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, arguments], capture_output=True, text=True, timeout=60, check=False
    )
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    assert not SDK & set(modules)
    assert not UNUSED[command] & set(modules)


def test_the_probe_can_tell(run_here: Guard) -> None:
    probe = "import sys, mcp_guard.server.run; sys.exit('mcp' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0
