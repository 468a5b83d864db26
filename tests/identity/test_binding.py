"""Bound arguments come from the principal, or the call is refused."""

import pytest

from mcp_guard.identity.binding import bound, sensitive_attributes
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal

ALICE = Principal("user:alice", "agent:local", "acme", "bearer", "token", attributes={"team": "support", "level": 3})


@pytest.mark.holds("identity:bound")
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("principal.subject", "user:alice"),
        ("principal.client", "agent:local"),
        ("principal.tenant", "acme"),
        ("principal.attributes.team", "support"),
        ("principal.attributes.level", 3),
    ],
)
def test_sources(source: str, value: object) -> None:
    assert bound({"x": source}, ALICE) == {"x": value}


@pytest.mark.holds("identity:bound")
def test_a_missing_attribute_refuses_the_call() -> None:
    with pytest.raises(Refused) as caught:
        bound({"x": "principal.attributes.region"}, ALICE)
    assert (caught.value.code, caught.value.executed) == ("policy_denied", "no")
    assert "region" in caught.value.reason


@pytest.mark.holds("audit:inputs-kept")
def test_a_sensitive_argument_makes_the_attribute_it_comes_from_sensitive() -> None:
    bind = {"id": "principal.attributes.passport", "by": "principal.subject", "home": "principal.attributes.a/b"}
    assert sensitive_attributes(bind, ["/id", "/by", "/note"]) == ("/attributes/passport",)
    assert sensitive_attributes(bind, ["/home/street/0"]) == ("/attributes/a~1b/street/0",)
    assert sensitive_attributes(bind, [""]) == ("/attributes/passport", "/attributes/a~1b")
    assert sensitive_attributes({}, ["/id"]) == sensitive_attributes(bind, []) == ()
