"""A home with tools of another server, which does what a script says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.simulators.mcp_server import Script
from tests.simulators.mcp_server import tool as listed
from tests.simulators.process import Program

RULES = """
p, notes-seen, role:support, *, acme, list, toolset:notes, True, allow, -, support sees the notes
p, notes-said, role:support, *, acme, call, notes_say, True, allow, -, and writes them
p, notes-sung, role:support, *, acme, call, notes_sing, True, allow, -, and writes them
p, notes-hummed, role:support, *, acme, call, notes_hum, True, allow, redact=[/n], and hears half of them
"""
TOOLS = ("say", "sing", "hum")


def add_notes(home: Path, script: Script, **more: object) -> None:
    """Put the server beside the tools of a copy of the example home, with `more` in its entry, and let its tools in:
    `notes_say` plainly, `notes_sing` with a label, `notes_hum` under a rule that hides something."""
    script.does(tools=[listed(name) for name in TOOLS])
    overrides: Mapping[str, Any] = {
        "say": {"effects": "none"},
        "sing": {"effects": "none", "labels": ["untrusted"], "sensitive": ["/text"]},
        "hum": {"effects": "none"},
    }
    entry = {"name": "notes", "command": script.argv, "allow": ["*"], "overrides": overrides, **more}
    manifest = {"apiVersion": "mcp-guard/v1", "kind": "Tools", "toolset": "notes", "upstreams": [entry]}
    (home / "tool_manifests" / "notes.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    rules = home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    locked = Program(home).run("tools", "lock")
    assert locked.status == 0, locked.out + locked.err
