"""Tools whose results are too large for one answer, in a copy of the example home."""

from pathlib import Path

SECRET = "ada.lovelace@example.org"

CODE = f"""
from mcp_guard.connect.python import current_home


def rows(size, shape="rows"):
    with (current_home.get() / "var" / "large.txt").open("a") as file:
        file.write("x")
    found = [{{"n": n, "note": "ü" * 40}} for n in range(size * 1024 // 100)]
    return {{"email": "{SECRET}", "rows": found}}


def key(size, value):
    return {{"leaked": value, "text": "x" * size * 1024}}
"""

_SIZE = "inputSchema: {type: object, properties: {size: {type: integer}}, required: [size]}"
MANIFEST = f"""
apiVersion: mcp-guard/v1
kind: Tools
toolset: large
tools:
  - name: large_rows
    description: Rows.
    effects: none
    labels: [untrusted]
    {_SIZE}
    python: {{function: "large_tools:rows"}}
  - name: large_typed
    description: Rows, as promised.
    effects: none
    {_SIZE}
    outputSchema: {{type: object, properties: {{rows: {{type: array}}, email: {{}}}}, required: [rows]}}
    python: {{function: "large_tools:rows"}}
  - name: large_act
    description: Rows, of something that acts.
    {_SIZE}
    sensitive: [/email]
    outputSchema: {{type: object, properties: {{email: {{type: string}}, rows: {{type: array}}}}}}
    python: {{function: "large_tools:rows"}}
  - name: large_refused
    description: Rows, all or nothing.
    effects: none
    result: {{largest: 4KiB, keep: false}}
    {_SIZE}
    python: {{function: "large_tools:rows"}}
  - name: large_small
    description: Rows, few at a time.
    effects: none
    result: {{largest: 2KiB}}
    {_SIZE}
    python: {{function: "large_tools:rows"}}
  - name: large_asked
    description: Rows, once somebody agreed.
    {_SIZE}
    python: {{function: "large_tools:rows"}}
  - name: large_flow
    description: Rows, by a workflow.
    inputSchema: {{type: object, properties: {{}}}}
    workflow:
      steps: [{{id: all, call: large_rows, with: {{size: 100}}}}]
      output: {{rows: "{{steps.all.rows}}"}}
  - name: large_key
    description: Says a key.
    effects: none
    inputSchema: {{type: object, properties: {{size: {{type: integer}}, value: {{type: string}}}}}}
    python: {{function: "large_tools:key"}}
"""
ROWS = [
    ("list, toolset:large", "allow", "-"),
    ("call, large_rows", "allow", "redact=[/email]"),
    ("call, large_asked", "require_approval", "approvers=role:finance"),
    *((f"call, large_{name}", "allow", "-") for name in ("typed", "act", "refused", "small", "flow", "key")),
]
RULES = "".join(
    f"p, large-{n}, role:support, *, acme, {what}, True, {effect}, {then}, support reads what is large\n"
    for n, (what, effect, then) in enumerate(ROWS)
)
RULES += "p, large-may, role:finance, *, acme, approve, large_asked, True, allow, -, finance agrees\n"
SETTINGS = """
results: {largest: 16KiB, beginning: 2KiB, kept: {largest: 512KiB, count: 3, size: 520KiB, total: 1MiB}}
"""


def add_large(home: Path) -> None:
    """Put them there; support may use them."""
    (home / "large_tools.py").write_text(CODE, encoding="utf-8")
    (home / "tool_manifests" / "large.yaml").write_text(MANIFEST, encoding="utf-8")
    for path, more in (("policy/policy.csv", RULES), ("mcp-guard.yaml", SETTINGS)):
        file = home / path
        file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
