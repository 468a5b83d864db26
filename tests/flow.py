"""A home with a workflow: things that are made and unmade by functions of the home, a refund over HTTP, people, mail.

Everything that happened is in `var/things.jsonl`, the payments ledger and the outbox.
"""

import json
import shutil
from pathlib import Path
from typing import Any

THINGS = """
import json
from mcp_guard.connect.python import ToolError, current_home


def _note(**what):
    with (current_home.get() / "var" / "things.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\\n")


def make(name):
    if name == "nothing":
        raise ToolError("there is nothing to make", executed="no")
    _note(made=name)
    return {"thing_id": f"T-{name}", "size": 3}


def unmake(thing_id):
    if thing_id == "T-stuck":
        raise ToolError("it is stuck", executed="no")
    _note(unmade=thing_id)
    return {"unmade": True}
"""

MANIFEST = Path(__file__).with_suffix(".yaml")

RULES = """
p, flow-seen, role:support, *, acme, list, toolset:flow, True, allow, -, support opens things
p, flow-done, role:support, *, acme, call, toolset:flow, True, allow, -, support opens things
p, flow-decided, role:manager, *, acme, approve, things_open, True, allow, -, managers look at things
"""


def add_flow(home: Path) -> None:
    """Put the workflow into a copy of the example home; its policy tests do not know of it."""
    (home / "things.py").write_text(THINGS, encoding="utf-8")
    shutil.copy(MANIFEST, home / "tool_manifests")
    rules = home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")


def things(home: Path) -> list[str]:
    """What was made and unmade, in order."""
    path = home / "var" / "things.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [" ".join(f"{what} {name}" for what, name in line.items()) for line in found]


def mails(home: Path) -> int:
    path = home / "var" / "outbox.jsonl"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
