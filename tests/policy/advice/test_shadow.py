"""Rows that never decide."""

import pytest
from hypothesis import given, settings

from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy.compiled import Compiled
from tests.policy.conftest import Files, row
from tests.policy.strategies import policies, requests

SUPPORT = "g, user:alice, role:support, acme"


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        (row(id="a"), row(id="b", who="user:alice"), ["b"]),
        (row(id="a", who="user:alice"), row(id="b"), []),
        (row(id="a", eft="deny"), row(id="b", who="user:alice", tool="orders_get"), ["b"]),
        (row(id="b", who="user:alice", tool="orders_get"), row(id="a", eft="deny"), ["b"]),
        (row(id="a", eft="deny", when="r.ctx.args.x == 1"), row(id="b"), []),
        (row(id="a", eft="deny", act="list"), row(id="b"), []),
        (row(id="a", eft="deny", act="*"), row(id="b"), ["b"]),
        (row(id="a", eft="deny", tenant="acme"), row(id="b"), []),
        (row(id="a", eft="deny", tenant="acme"), row(id="b", tenant="acme"), ["b"]),
        (row(id="a", eft="deny", who="role:support"), row(id="b", who="user:alice", tenant="acme"), ["b"]),
        (row(id="a", eft="deny", who="role:support"), row(id="b", who="user:alice"), []),
        (row(id="a", eft="deny", via="agent:x"), row(id="b"), []),
        (row(id="a", eft="deny"), row(id="b", via="agent:x"), ["b"]),
        (row(id="a", eft="deny", tool="orders_*"), row(id="b", tool="toolset:orders"), ["b"]),
        (row(id="a", eft="deny", tool="orders_get"), row(id="b", tool="toolset:orders"), []),
        (row(id="a", eft="require_approval", then="approvers=role:x"), row(id="b"), ["b"]),
        (row(id="a"), row(id="b", eft="require_approval", then="approvers=role:x"), ["a"]),
        (
            row(id="a", eft="require_approval", then="approvers=role:x"),
            row(id="b", eft="require_approval", then="approvers=role:x; expires=1h"),
            [],
        ),
        (row(id="a", act="audit"), row(id="b", act="audit", then="rows=all"), []),
    ],
)
def test_what_is_shadowed(files: Files, first: str, second: str, shadowed: list[str]) -> None:
    text = "\n".join([first, second, SUPPORT]) + "\n"
    lines = {1: text.split(", ", 2)[1], 2: "b" if "p, b" in second else "a"}
    found = [lines[problem.line] for problem in files.lint(text) if problem.code == "row_shadowed"]
    assert found == shadowed


@pytest.mark.holds("policy:lint-shadowed")
@given(policies, requests)
@settings(deadline=None, max_examples=100)
def test_without_a_shadowed_row_every_effect_is_the_same(
    module_files: Files, text: str, question: AccessRequest
) -> None:
    """The advice to delete it is safe."""
    shadowed = {problem.line for problem in module_files.lint(text) if problem.code == "row_shadowed"}
    kept = [line for number, line in enumerate(text.splitlines(), 1) if number not in shadowed]
    before = Compiled(module_files.read(text)).decide(question)
    after = Compiled(module_files.read("\n".join(kept) + "\n")).decide(question)
    assert (before.effect, before.then) == (after.effect, after.then)
