"""A home with a server behind it that offers resources, templates and prompts, all of them let in."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcp_guard.manifest import lock
from mcp_guard.model.tool import PRIMITIVES, Primitive, definition
from tests.simulators.mcp_server import Script, message, prompt, resource, template, text, tool

README, NOTES, MONTHLY = "docs://readme", "docs://notes/{name}", "monthly"
ALL: Mapping[str, object] = {"resources": {}, "prompts": {}, "completions": {}, "tools": {}}
OFFERED: Mapping[str, Any] = {
    "tools": [tool("say")],
    "resources": [
        resource(README, "readme", title="Read me", description="What to know.", mimeType="text/plain"),
        resource("docs://secret", "secret"),
    ],
    "resourceTemplates": [template(NOTES, "notes", description="A note by its name.")],
    "prompts": [prompt(MONTHLY, "month", "tone"), prompt("wild")],
}
SAID: Mapping[str, Any] = {
    "capabilities": ALL,
    "read": {"contents": [text(README, "hello")]},
    "completion": {"completion": {"values": ["May", "March"], "hasMore": False}},
    "got": {"messages": [message("Report on May.")], "description": "A report"},
}
LETS_IN: Mapping[str, Any] = {
    "allow": ["say"],
    "resources": {"allow": ["docs://*"], "overrides": {README: {"effects": "none", "labels": ["untrusted"]}}},
    "templates": {"allow": ["docs://*"], "deny": ["docs://notes/private*"]},
    "prompts": {"allow": ["*"], "overrides": {MONTHLY: {"scopes": ["reports:read"]}}},
}
POLICY = """
p, docs-list, role:support, *, acme, list, toolset:docs, True, allow, -, support sees the documents
p, docs-hidden, *, *, *, list, resource:docs_secret, True, deny, -, nobody sees this
p, docs-hidden-too, *, *, *, list, prompt:docs_wild, True, deny, -, nobody sees this
p, docs-read, role:support, *, acme, call, resource:docs_readme, True, allow, -, everybody may read it
p, docs-notes, role:support, *, acme, call, resource:docs_notes, matches(r.ctx.args.name, "team-*"), allow, -, notes of the team
p, docs-ask, role:support, *, acme, call, resource:docs_notes, matches(r.ctx.args.name, "board-*"), require_approval, approvers=role:finance, the board is asked
p, docs-agree, role:finance, *, acme, approve, resource:docs_notes, True, allow, -, finance decides about the board
p, docs-month, role:support, *, acme, call, prompt:docs_monthly, r.ctx.args.month != "June", allow, -, reports but not on June
"""  # noqa: E501 - a row is a line
_KEYS: Mapping[Primitive, tuple[str, str]] = {
    "tool": ("tools", "name"),
    "resource": ("resources", "uri"),
    "template": ("resourceTemplates", "uriTemplate"),
    "prompt": ("prompts", "name"),
}


def definitions(offered: Mapping[str, Any] = OFFERED) -> Iterator[tuple[Primitive, dict[str, Mapping[str, object]]]]:
    """What is locked of what a server offers, by kind."""
    for what in PRIMITIVES:
        listed, name = _KEYS[what]
        yield what, {one[name]: definition(one, what) for one in offered.get(listed, [])}


def locked(home: Path, offered: Mapping[str, Any] = OFFERED, upstream: str = "docs") -> None:
    """Lock what a server offers, without asking it."""
    found = dict(definitions(offered))
    others: dict[Primitive, dict[str, dict[str, Mapping[str, object]]]] = {
        what: {upstream: one} for what, one in found.items() if what != "tool" and one
    }
    lock.write(home, lock.Lock({upstream: found["tool"]}, {}, others))


def mirrored(home: Path, script: Script, lets_in: Mapping[str, Any] = LETS_IN, policy: str = POLICY) -> None:
    """Put the server behind the example home, where Alice may see and use some of it."""
    script.does(**OFFERED, **SAID)
    manifest = {"apiVersion": "mcp-guard/v1", "kind": "Tools", "toolset": "docs"}
    servers = [{"name": "docs", "command": script.argv, **lets_in}]
    (home / "tool_manifests" / "docs.yaml").write_text(json.dumps({**manifest, "upstreams": servers}))
    rules = home / "policy" / "policy.csv"
    rules.write_text(rules.read_text().rstrip() + policy)
    people = home / "policy" / "principals.yaml"
    people.write_text(people.read_text().replace("payments:refund", "payments:refund, reports:read"))
    locked(home)
