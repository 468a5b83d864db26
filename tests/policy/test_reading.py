"""What a condition saw, with nothing in it that is not to be shown."""

import json

import pytest

from mcp_guard.policy.reading import HIDDEN, Fields, Seen, needs, paths, written
from tests.policy.conftest import principal, request

CANARY = "canary-4711"


def seen(condition: str, arguments: dict[str, object], *hidden: str) -> list[Seen]:
    who = principal(attributes={"team": "support", "deep": {"passport": CANARY}}, chain=("agent:planner",))
    return Fields(request(arguments=arguments, who=who), {"role:x", "user:alice"}, hidden).seen_by(condition)


def test_every_field_once_in_the_order_of_the_text() -> None:
    found = seen('r.ctx.args.a > 1 and r.ctx.args["b-c"] == "x" and r.ctx.args.a < 9', {"a": 5})
    assert found == [Seen("r.ctx.args.a", 5), Seen('r.ctx.args["b-c"]', missing=True)]
    assert [one.as_dict() for one in found] == [
        {"field": "r.ctx.args.a", "value": 5},
        {"field": 'r.ctx.args["b-c"]', "missing": True},
    ]


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ('r.ctx.env.name == "x"', "demo"),
        ("r.ctx.now > 5", 1767614400),
        ('"a" in r.ctx.scopes', []),
        ('"role:x" in r.ctx.subject.roles', ["role:x", "user:alice"]),
        ('r.ctx.subject.attributes.team == "x"', "support"),
        ('"agent:x" in r.ctx.delegation', ["agent:planner"]),
        ('r.ctx.client.id == "x"', "agent:local"),
        ('"amount" in r.ctx.args', 3),
    ],
)
def test_fields_of_every_kind(condition: str, value: object) -> None:
    assert [one.value for one in seen(condition, {"amount": 3})] == [value]


def test_nothing_is_true_of_nothing() -> None:
    assert seen("True", {}) == []
    assert Fields(request(arguments=None), set()).seen_by("r.ctx.args.a == 1") == [Seen("r.ctx.args.a", missing=True)]


@pytest.mark.holds("policy:explain-hides")
@pytest.mark.parametrize(
    ("condition", "hidden"),
    [
        (f'r.ctx.args.note == "{CANARY}"', "/args/note"),
        ('r.ctx.args.deep.inner == "x"', "/args/deep"),
        ("r.ctx.args.deep == r.ctx.args.note", "/args"),
        ("r.ctx.args.deep == r.ctx.args.deep", "/args/deep/inner"),
        ('r.ctx.subject.attributes.deep.passport == "x"', "/subject/attributes/deep"),
        ('matches(r.ctx.args.note, "x*")', "/args/note"),
        ('"note" in r.ctx.args', "/args/note"),
    ],
)
def test_what_is_hidden_is_shown_nowhere(condition: str, hidden: str) -> None:
    found = seen(condition, {"note": CANARY, "deep": {"inner": CANARY}}, hidden, "/args/note")
    shown = json.dumps([one.value for one in found])
    assert CANARY not in shown
    assert HIDDEN in shown


def test_what_is_hidden_and_not_there_is_missing_no_more_than_that() -> None:
    assert seen("r.ctx.args.other == 1", {}, "/args/note") == [Seen("r.ctx.args.other", missing=True)]


@pytest.mark.parametrize(
    ("condition", "unknown", "needed"),
    [
        ("r.ctx.args.a == 1", ("args", "a"), True),
        ("r.ctx.args.a == 1", ("args", "a", "deeper"), True),
        ("r.ctx.args.a.b == 1", ("args", "a"), True),
        ("r.ctx.args.a == 1", ("args", "ab"), False),
        ('"a" in r.ctx.args', ("args", "a"), True),
        ("r.ctx.now > 1", ("args", "a"), False),
        ("True", ("args",), False),
    ],
)
def test_whether_a_value_is_needed(condition: str, unknown: tuple[str, ...], needed: bool) -> None:
    assert needs(condition, {unknown}) is needed
    assert not needs(condition, set())


def test_a_field_is_written_as_a_condition_names_it() -> None:
    (path,) = paths('r.ctx.args["from"].x_1 == 1')
    assert written(path) == 'r.ctx.args["from"].x_1'
