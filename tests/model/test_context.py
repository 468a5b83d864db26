"""The inputs of a decision survive being written down, and nothing else passes for them."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.kit import strict_json
from mcp_guard.model.context import of_request, to_request
from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.model.principal import Principal
from tests.policy.conftest import MONDAY_NOON, principal, request

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
ACTS: tuple[Act, ...] = ("list", "call", "approve", "task", "audit")
VALUES = st.dictionaries(TEXTS, JSON, max_size=3)
AMOUNTS = st.dictionaries(TEXTS, st.integers(0, 10**9) | st.floats(0, 1e9), max_size=3)
SETS = st.frozensets(TEXTS, max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> AccessRequest:
    who = Principal(
        draw(TEXTS),
        draw(TEXTS),
        draw(TEXTS),
        draw(st.sampled_from(["local", "bearer", "oidc"])),
        draw(st.sampled_from(["declared", "token", "oidc"])),
        draw(SETS),
        draw(SETS),
        draw(VALUES),
        tuple(draw(st.lists(TEXTS, max_size=2))),
    )
    now = MONDAY_NOON.replace(microsecond=draw(st.sampled_from([0, 999_999])))
    act = draw(st.sampled_from(ACTS))
    arguments, seen, spent = draw(st.none() | VALUES), draw(st.none() | SETS), draw(st.none() | AMOUNTS)
    return AccessRequest(who, act, draw(TEXTS), now, arguments, draw(VALUES), seen, spent)


@given(requests())
def test_what_was_written_is_the_same_question(asked: AccessRequest) -> None:
    written = orjson.loads(strict_json.dumps(of_request(asked)))
    actor = orjson.loads(strict_json.dumps(asked.principal.as_actor()))
    again = to_request(written, actor, asked.tool, asked.arguments)
    assert again.now.timestamp() == int(asked.now.timestamp())
    same = (again.principal, again.act, again.tool, again.arguments, dict(again.environment), again.seen)
    assert again.spent == asked.spent
    assert same == (asked.principal, asked.act, asked.tool, asked.arguments, dict(asked.environment), asked.seen)


def test_what_is_not_there_takes_no_room() -> None:
    assert of_request(request()) == {"act": "call", "now": 1767614400, "env": {"name": "demo"}}


@pytest.mark.parametrize(
    "change",
    [
        {"act": "delete"},
        {"act": ["call"]},
        {"act": None},
        {"now": "yesterday"},
        {"now": True},
        {"now": 1.5},
        {"now": 10**30},
        {"now": -(10**15)},
        {"env": []},
        {"env": None},
        {"scopes": "orders:read"},
        {"scopes": [1]},
        {"roles": {"role:x": 1}},
        {"attributes": []},
        {"seen": "untrusted"},
        {"seen": None},
        {"spent": None},
        {"spent": {"usd_today": "5"}},
        {"spent": {"usd_today": True}},
        {"invented": 1},
    ],
    ids=repr,
)
def test_what_the_guard_did_not_write_is_no_question(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|not known"):
        to_request(of_request(request()) | change, principal().as_actor(), "orders_get", {})


@pytest.mark.parametrize(
    "change", [{"sub": None}, {"via": 1}, {"tenant": []}, {"auth": "magic"}, {"assurance": {}}, {"chain": "agent:x"}]
)
def test_neither_is_an_actor_the_guard_did_not_write(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        to_request(of_request(request()), principal().as_actor() | change, "orders_get", {})
