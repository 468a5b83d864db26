"""The fingerprint: blind to how a manifest is written, sensitive to everything it means."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.kit import pointer
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.load import lint
from tests.manifest.conftest import Lint
from tests.manifest.texts import manifest, tool

TOOL: dict[str, Any] = {
    "name": "refund",
    "title": "Refund",
    "description": "Refund an order.",
    "annotations": {"destructiveHint": True, "openWorldHint": True},
    "tags": ["risk:high", "tag:money"],
    "effects": "once",
    "scopes": ["payments:refund", "orders:read"],
    "inputSchema": {
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": "^O-"}, "amount": {"type": "number", "minimum": 1}},
        "required": ["id", "amount"],
    },
    "outputSchema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
    "bind": {"by": "principal.subject"},
    "sensitive": ["/amount"],
    "timeout": "10s",
    "retry": {"attempts": 3, "retry_on": ["timeout", 429], "backoff": "200ms", "max_backoff": "5s"},
    "idempotency": {"header": "Idempotency-Key"},
    "justification": "optional",
    "http": {
        "method": "POST",
        "url": "https://a.example/{id}",
        "headers": {"Authorization": "Bearer ${secret:k}", "X-A": "a"},
        "query": {"v": "1"},
        "json": {"amount": "{amount}", "by": "{by}"},
        "egress": {"networks": ["10.0.0.0/8"]},
        "max_output": "1KiB",
    },
}

CHANGES: list[tuple[str, object]] = [
    ("/name", "refund2"),
    ("/title", "Refund!"),
    ("/description", "Refund an order!"),
    ("/annotations/destructiveHint", False),
    ("/annotations/idempotentHint", False),
    ("/tags", ["risk:high"]),
    ("/effects", "idempotent"),
    ("/scopes", ["payments:refund"]),
    ("/labels", ["pii"]),
    ("/task", {}),
    ("/http/select", "/data"),
    ("/http/select", {"data": "/data"}),
    ("/inputSchema/properties/id/pattern", "^P-"),
    ("/inputSchema/properties/amount/minimum", 2),
    ("/inputSchema/required", ["id", "amount", "note"]),
    ("/inputSchema/additionalProperties", True),
    ("/outputSchema/properties/ok/type", "integer"),
    ("/outputSchema/required", []),
    ("/bind/by", "principal.client"),
    ("/sensitive", ["/ok"]),
    ("/timeout", "11s"),
    ("/retry/attempts", 2),
    ("/retry/retry_on", ["timeout"]),
    ("/retry/backoff", "300ms"),
    ("/retry/max_backoff", "6s"),
    ("/idempotency/header", "X-Key"),
    ("/justification", "required"),
    ("/justification", "none"),
    ("/http/method", "PUT"),
    ("/http/url", "https://b.example/{id}"),
    ("/http/headers/X-A", "b"),
    ("/http/headers/Authorization", "Bearer ${secret:j}"),
    ("/http/query/v", "2"),
    ("/http/json/by", "me {by}"),
    ("/http/json/more", None),
    ("/http/egress/networks", []),
    ("/http/max_output", "2KiB"),
]


def write(entry: dict[str, Any]) -> str:
    """JSON is YAML, so a manifest can be written by a JSON writer."""
    return json.dumps({"apiVersion": "mcp-guard/v1", "kind": "Tools", "tools": [entry]})


def changed(entry: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    copied = copy.deepcopy(entry)
    *parents, last = pointer.parse(place)
    target: Any = copied
    for token in parents:
        target = target[token]
    target[last] = value
    return copied


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(child, order)) for key, child in value.items()]
        order.shuffle(items)
        return dict(items)
    return value


def fingerprint_of(home: Path, reserved: HomeFiles, text: str) -> str:
    (home / "tool_manifests/a.yaml").write_text(text, encoding="utf-8")
    catalog, problems = lint(home, ["tool_manifests/a.yaml"], reserved=reserved)
    assert catalog is not None, "\n".join(map(str, problems))
    (entry,) = catalog.values()
    return entry.tool.fingerprint


def as_block(value: object) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    out = StringIO()
    writer = YAML(typ="rt", pure=True)
    writer.width = 20
    writer.dump(value, out)
    return "# a comment\n" + out.getvalue()


@pytest.mark.holds("manifest:fingerprint")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), indent=st.sampled_from([None, 1, 8]), block=st.booleans())
def test_how_a_manifest_is_written_does_not_matter(
    home: Path, reserved: HomeFiles, seed: int, indent: int | None, block: bool
) -> None:
    original = fingerprint_of(home, reserved, write(TOOL))
    order = random.Random(seed)
    mixed = shuffled(TOOL, order)
    for key in ("tags", "scopes"):
        mixed[key] = order.sample(mixed[key], len(mixed[key]))
    document = {"kind": "Tools", "tools": [mixed], "apiVersion": "mcp-guard/v1"}
    text = as_block(document) if block else json.dumps(document, indent=indent)
    assert fingerprint_of(home, reserved, text) == original


@pytest.mark.holds("manifest:fingerprint")
def test_everything_it_means_does_matter(home: Path, reserved: HomeFiles) -> None:
    found = {"": fingerprint_of(home, reserved, write(TOOL))}
    for place, value in CHANGES:
        found[f"{place}={value}"] = fingerprint_of(home, reserved, write(changed(TOOL, place, value)))
    assert len(set(found.values())) == len(CHANGES) + 1
    assert all(len(value) == 64 for value in found.values())


@pytest.mark.parametrize(
    ("place", "value"),
    [("/timeout", "10000ms"), ("/retry/retry_on", ["429", "timeout"]), ("/http/max_output", "1024B")],
)
def test_the_same_value_in_other_words_is_the_same(home: Path, reserved: HomeFiles, place: str, value: object) -> None:
    assert fingerprint_of(home, reserved, write(changed(TOOL, place, value))) == fingerprint_of(
        home, reserved, write(TOOL)
    )


@pytest.mark.holds("manifest:fingerprint")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            'sql: {database: "sqlite:a.db", statement: "SELECT 1"}',
            'sql: {database: "sqlite:b.db", statement: "SELECT 1"}',
        ),
        (
            'sql: {database: "sqlite:a.db", statement: "SELECT 1"}',
            'sql: {database: "sqlite:a.db", statement: "SELECT 2"}',
        ),
        (
            'sql: {database: "sqlite:a.db", statement: "SELECT 1"}',
            'sql: {database: "sqlite:a.db", statement: "SELECT 1", readonly: false}',
        ),
        (
            'sql: {database: "sqlite:a.db", statement: "SELECT 1"}',
            'sql: {database: "sqlite:a.db", statement: "SELECT 1", max_rows: 9}',
        ),
        ("python: {function: 'a:b'}", "python: {function: 'a:c'}"),
    ],
)
def test_every_connector_counts(home: Path, reserved: HomeFiles, one: str, other: str) -> None:
    prints = {
        fingerprint_of(home, reserved, manifest(tool(properties="{}", required="[]", connector=connector)))
        for connector in (one, other)
    }
    assert len(prints) == 2


@pytest.mark.holds("manifest:fingerprint")
def test_a_home_can_be_moved(tmp_path: Path) -> None:
    text = write(
        {**TOOL, "http": None, "bind": {}, "idempotency": None, "retry": None}
        | {"sql": {"database": "sqlite:a.db", "statement": "SELECT :id, :amount"}}
    )
    found = set()
    for name in ("here", "there"):
        (tmp_path / name / "tool_manifests").mkdir(parents=True)
        found.add(fingerprint_of(tmp_path / name, HomeFiles(), text))
    assert len(found) == 1


def test_defaults_and_toolset_are_part_of_it(lint_texts: Lint) -> None:
    prints = set()
    for head in (
        "",
        "toolset: a\n",
        "defaults: {timeout: 9s}\n",
        "defaults: {scopes: [a]}\n",
        "defaults: {tags: [tag:a]}\n",
        "defaults: {labels: [pii]}\n",
        "defaults: {mode: observe}\n",
    ):
        catalog, _ = lint_texts(manifest(tool(), head=head))
        assert catalog is not None
        prints.add(catalog["note_add"].tool.fingerprint)
    assert len(prints) == 7


OLD_TOOLS = """apiVersion: mcp-guard/v1
kind: Tools
toolset: old
tools:
  - name: read_row
    description: Read.
    inputSchema: {type: object, properties: {id: {type: string}}, required: [id]}
    sql: {database: "sqlite:var/orders.db", readonly: true, statement: "SELECT 1 FROM a WHERE id = :id"}
  - name: send
    description: Send.
    inputSchema: {type: object, properties: {id: {type: string}}, required: [id]}
    effects: idempotent
    http: {method: POST, url: "https://a.example/{id}", headers: {Authorization: "Bearer ${secret:k}"}}
  - name: act
    description: Act.
    inputSchema: {type: object, properties: {id: {type: string}}, required: [id]}
    python: {function: "home_tools:act"}
  - name: both
    description: Both.
    inputSchema: {type: object, properties: {id: {type: string}}, required: [id]}
    workflow:
      steps:
        - {id: one, call: act, with: {id: "{input.id}"}, compensate: {call: send, with: {id: "{input.id}"}}}
        - {id: ask, approve: {approvers: [role:manager], summary: "Do {input.id}"}}
"""
OLD_PRINTS = {
    "act": "58a87a9fdcc16b34f5d5402276dd54fd7121f3fe6c861bf44abc0acb8d4bdc08",
    "both": "f0740391ca45b8525e5ebc9189c9a960f85d07cb5dfb7d664da43534d886f095",
    "read_row": "80045d4f96f93f16b935b57647da057b14736811260da8eae816a29e83378116",
    "send": "fd93468b5903997aafc2df9dc48fbc63512fabbfcf63526a2540866b2637d72c",
}


def test_an_upgrade_changes_no_tool_that_says_nothing_new(lint_texts: Lint) -> None:
    """Parked calls, locks and records mean a tool by its fingerprint: the same manifest has it in every version."""
    catalog, _ = lint_texts(OLD_TOOLS)
    assert catalog is not None
    assert {name: entry.tool.fingerprint for name, entry in catalog.items()} == OLD_PRINTS
