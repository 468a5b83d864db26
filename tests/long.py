"""A home with tools that take as long as the test wants: they end once `var/go` is there.

What they did is in `var/worked.txt`, one line each time it was begun and one each time it was done.
"""

from pathlib import Path

CODE = """
import time
from mcp_guard.connect.python import current_home


def work(name):
    var = current_home.get() / "var"
    with (var / "worked.txt").open("a", encoding="utf-8") as file:
        file.write(f"begun {name}\\n")
    while not (var / "go").exists():
        time.sleep(0.005)
    with (var / "worked.txt").open("a", encoding="utf-8") as file:
        file.write(f"done {name}\\n")
    return {"made": name}
"""

MANIFEST = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: long
tools:
  - name: long_read
    description: Takes long and changes nothing.
    effects: none
    task: {}
    timeout: 60s
    inputSchema: {type: object, properties: {name: {type: string, maxLength: 40}}, required: [name]}
    python: {function: "long_work:work"}
  - name: long_act
    description: Takes long and must not happen twice.
    task: {}
    timeout: 60s
    inputSchema: {type: object, properties: {name: {type: string, maxLength: 40}}, required: [name]}
    python: {function: "long_work:work"}
  - name: long_brief
    description: Has too little time.
    effects: none
    task: {}
    timeout: 200ms
    inputSchema: {type: object, properties: {name: {type: string, maxLength: 40}}, required: [name]}
    python: {function: "long_work:work"}
"""

RULES = """
p, long-seen, role:support, *, acme, list, toolset:long, True, allow, -, support waits
p, long-done, role:support, *, acme, call, toolset:long, True, allow, -, support waits
"""


def add_long(home: Path, inline_wait: str = "20s") -> None:
    """Put the tools into a copy of the example home."""
    (home / "long_work.py").write_text(CODE, encoding="utf-8")
    (home / "tool_manifests" / "long.yaml").write_text(MANIFEST, encoding="utf-8")
    rules = home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    settings = home / "mcp-guard.yaml"
    settings.write_text(settings.read_text(encoding="utf-8") + f"tasks: {{inline_wait: {inline_wait}}}\n", "utf-8")


def go(home: Path) -> None:
    """Let everything that works end."""
    (home / "var" / "go").touch()


def worked(home: Path) -> list[str]:
    path = home / "var" / "worked.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
