"""A home with tools that cost something and are limited; what they did is in `var/did.txt`, a line each."""

from pathlib import Path

CODE = """
import asyncio
from mcp_guard.connect.python import ToolError, current_home


def _note(what):
    with (current_home.get() / "var" / "did.txt").open("a", encoding="utf-8") as file:
        file.write(f"{what}\\n")


def pay(amount, how="well"):
    if how == "not":
        raise ToolError("nothing was paid", executed="no")
    _note(f"pay {amount}")
    if how == "badly":
        raise ToolError("who knows", executed="unknown")
    return {"paid": amount}


def ask(tokens):
    _note("ask")
    return {"usage": {"total": tokens}}


def erase(ids):
    return {"erased": len(ids)}


async def wait(name):
    _note(f"wait {name}")
    while not (current_home.get() / "var" / "go").exists():
        await asyncio.sleep(0.005)
    return {"waited": name}


def look(what):
    _note(f"look {what}")
    return {"seen": what}
"""

MANIFEST = """
apiVersion: mcp-guard/v1
kind: Tools
toolset: limited
tools:
  - name: limited_pay
    description: Pay.
    cost: {unit: usd, argument: amount}
    inputSchema:
      type: object
      properties: {amount: {type: number}, how: {type: string}}
      required: [amount]
    python: {function: "limited_tools:pay"}
  - name: limited_ask
    description: Ask a model.
    effects: none
    cost: {unit: tokens, reported: /usage/total, at_most: 100}
    inputSchema: {type: object, properties: {tokens: {}}, required: [tokens]}
    python: {function: "limited_tools:ask"}
  - name: limited_erase
    description: Erase records.
    cost: {unit: records, count_of: ids}
    limits: {quota: 3/day/who}
    inputSchema: {type: object, properties: {ids: {type: array, items: {type: string}}}, required: [ids]}
    python: {function: "limited_tools:erase"}
  - name: limited_wait
    description: Takes as long as it takes.
    limits: {concurrency: 2}
    inputSchema: {type: object, properties: {name: {type: string}}, required: [name]}
    python: {function: "limited_tools:wait"}
  - name: limited_look
    description: Look something up.
    effects: none
    limits: {rate: 5/hour, repeat: 2/10m}
    inputSchema: {type: object, properties: {what: {type: string}}, required: [what]}
    python: {function: "limited_tools:look"}
  - name: limited_watched
    description: Look something up, in observe mode.
    mode: observe
    limits: {quota: 1/day}
    inputSchema: {type: object, properties: {what: {type: string}}, required: [what]}
    python: {function: "limited_tools:look"}
  - name: limited_flow
    description: Pay twice.
    limits: {quota: 2/day/who}
    inputSchema: {type: object, properties: {amount: {type: number}}, required: [amount]}
    workflow:
      steps:
        - {id: one, call: limited_pay, with: {amount: "{input.amount}"}}
        - {id: two, call: limited_pay, with: {amount: "{input.amount}"}}
"""

# ruff: noqa: E501 - a rule is one line
RULES = """
p, limited-seen, role:support, *, acme, list, toolset:limited, True, allow, -, support tries limits
p, limited-pay, role:support, *, acme, call, limited_pay, r.ctx.args.amount <= 50, allow, budget=100usd/day/who, support pays
p, limited-pay-more, role:support, *, acme, call, limited_pay, r.ctx.args.amount > 50, require_approval, approvers=role:finance; budget=100usd/day/who, more is asked about
p, limited-pay-decided, role:finance, *, acme, approve, limited_pay, True, allow, -, finance decides
p, limited-stop, *, *, *, call, limited_pay, r.ctx.spent.usd_today >= 90, deny, -, enough for today
p, limited-ask, role:support, *, acme, call, limited_ask, True, allow, budget=250tokens/day/via, support asks
p, limited-erase, role:support, *, acme, call, limited_erase, True, allow, budget=5records/month/tenant, support erases
p, limited-rest, role:support, *, acme, call, toolset:limited, True, allow, -, support does the rest
"""


def add_limited(home: Path) -> None:
    """Put the tools into a copy of the example home."""
    (home / "limited_tools.py").write_text(CODE, encoding="utf-8")
    (home / "tool_manifests" / "limited.yaml").write_text(MANIFEST, encoding="utf-8")
    rules = home / "policy" / "policy.csv"
    rules.write_text(rules.read_text(encoding="utf-8") + RULES, encoding="utf-8")


def go(home: Path) -> None:
    """Let everything that waits end."""
    (home / "var" / "go").touch()


def did(home: Path) -> list[str]:
    path = home / "var" / "did.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
