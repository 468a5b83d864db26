"""The example home: where it is, a private copy of it to play in, and what it needs to come alive."""

import secrets
import shutil
from pathlib import Path

from mcp_guard.demo.database import seed_orders
from mcp_guard.kit.platform import make_private_directory, make_private_file
from mcp_guard.model.errors import UsageError

SANDBOX_PORT = 8790
"""The port the example manifests expect the payments sandbox on; a copy for the demo gets its own."""

_PARTS = ("mcp-guard.yaml", "tool_manifests", "policy")


def example_home() -> Path:
    """The example home: beside the package in a checkout, inside it in an installed wheel."""
    packaged = Path(__file__).parent / "home"
    checkout = Path(__file__).parents[2]
    for candidate in (packaged, checkout):
        if (candidate / "mcp-guard.yaml").is_file():
            return candidate
    raise UsageError("The example home is missing from this installation.", hint="install mcp-guard again")


def copy_home(target: Path, sandbox_port: int) -> Path:
    """A copy of the example home whose tools talk to the sandbox on `sandbox_port`."""
    source = example_home()
    target.mkdir(parents=True)
    for part in _PARTS:
        origin, copy = source / part, target / part
        if origin.is_dir():
            shutil.copytree(origin, copy)
        else:
            shutil.copy2(origin, copy)
    for manifest in (target / "tool_manifests").glob("*.yaml"):
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace(f"127.0.0.1:{SANDBOX_PORT}", f"127.0.0.1:{sandbox_port}"), encoding="utf-8")
    return target


def payments_key() -> str:
    """A fresh key for the payments sandbox."""
    return secrets.token_urlsafe(24)


def seed(home: Path, key: str) -> str:
    """Make `var/`: the orders database and the payments key. Keeps what is there; returns the key in effect."""
    make_private_directory(home / "var" / "secrets")
    seed_orders(home / "var" / "orders.db")
    stored = home / "var" / "secrets" / "payments_key"
    if not stored.exists():
        make_private_file(stored)
        stored.write_text(key, encoding="utf-8")
    return stored.read_text(encoding="utf-8").strip()
