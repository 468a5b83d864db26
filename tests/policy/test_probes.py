"""Generated questions: about the policy's own names, at the edges of its conditions, and repeatable."""

from pathlib import Path
from random import Random

from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.load import read
from mcp_guard.policy.probes import World, edges
from mcp_guard.policy.usage import uses
from tests.policy.conftest import HOME_TOOLS, Files, row

HOME = Path(__file__).parents[2] / "policy"


def test_the_edges_of_a_number_are_asked_for() -> None:
    (use,) = uses("r.ctx.args.amount <= 100")
    assert edges(use) == [100, 99, 101]


def test_edges_of_other_constants() -> None:
    found = {text: edges(uses(text)[0]) for text in (
        'r.ctx.args.country == "DE"',
        'within(r.ctx.args.path, "/srv")',
        'all_domains(r.ctx.args.to, "a.example")',
        'matches(r.ctx.args.branch, "feature/*")',
        "not r.ctx.args.flag",
        '"x:y" in r.ctx.scopes',
        "r.ctx.args.a < r.ctx.args.b",
    )}  # fmt: skip
    assert list(found.values()) == [
        ["DE", "DEx"],
        ["/srv", "/srv/a", "/srva", "/srv/../a"],
        [["a@a.example"], ["a@a.example", "b@xa.example"], "a@sub.a.example"],
        ["feature/", "feature/ab", "feature/*/"],
        [True, False],
        [["x:y"], []],
        ["a", 1],
    ]


def test_questions_reach_every_rule_and_the_default() -> None:
    rules = read(HOME / "model.conf", HOME / "policy.csv", HOME_TOOLS)
    compiled, world, random = Compiled(rules), World.of(rules), Random(1)
    named = {compiled.decide(world.draw(random)).rule for _ in range(12_000)}
    assert {rule.id for rule in rules.rows} - named == set()


def test_questions_are_repeatable(files: Files) -> None:
    world = World.of(files.load(row(when="r.ctx.args.a.b > 5 and r.ctx.subject.attributes.level == 2")).rules)
    assert [world.draw(Random(3)) for _ in range(5)] == [world.draw(Random(3)) for _ in range(5)]


def test_nested_fields_and_attributes_are_filled(files: Files) -> None:
    world = World.of(
        files.load(row(id="deep", when="r.ctx.args.a.b > 5 and r.ctx.subject.attributes.level == 2")).rules
    )
    random = Random(3)
    found = [world.draw(random) for _ in range(50)]
    assert any(request.arguments == {"a": {"b": 6}} for request in found)
    assert any(request.principal.attributes == {"level": 2} for request in found)
