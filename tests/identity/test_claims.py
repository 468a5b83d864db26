"""Claims to principals: every name stays inside its own kind."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.identity.claims import MAX_HOPS, ClaimMap, principal_of
from mcp_guard.identity.directory import Directory, Profile
from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.model.principal import Principal

NOBODY = Directory({})
GOOD: dict[str, Any] = {
    "iss": "https://issuer.example",
    "sub": "alice",
    "client_id": "desktop",
    "org": "acme",
    "scope": "orders:read mail:send",
    "roles": ["support", "role:finance"],
}


def _principal(directory: Directory = NOBODY, names: ClaimMap | None = None, **changes: Any) -> Principal:
    claims = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return principal_of(claims, names or ClaimMap(), directory)


def _refused(directory: Directory = NOBODY, names: ClaimMap | None = None, **changes: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        _principal(directory, names, **changes)
    return refused.value.why


def test_the_contract_s_claims() -> None:
    principal = _principal()
    assert principal.as_actor() == {
        "sub": "user:alice",
        "via": "agent:desktop",
        "tenant": "acme",
        "auth": "oidc",
        "assurance": "oidc",
    }
    assert principal.roles == {"role:support", "role:finance"}


@pytest.mark.holds("identity:claims")
def test_claims_can_be_anywhere() -> None:
    names = ClaimMap(subject="email", tenant="/ext/org", roles="/realm_access/roles", scopes="scp", client="cid")
    principal = _principal(
        NOBODY,
        names,
        email="bob@acme.example",
        ext={"org": "globex"},
        realm_access={"roles": ["ops"]},
        scp=["a:b"],
        cid="web",
        client_id="not asked for",
    )
    assert (principal.subject, principal.client, principal.tenant) == ("user:bob@acme.example", "agent:web", "globex")
    assert principal.roles == {"role:ops"}
    assert principal.scopes == {"a:b"}


@pytest.mark.holds("identity:scopes-intersect")
def test_scopes_are_the_grant_s_within_what_the_home_gives() -> None:
    listed = Directory({"user:alice": Profile("acme", frozenset({"orders:read", "payments:refund"}), {"team": "a"})})
    assert _principal().scopes == {"orders:read", "mail:send"}
    principal = _principal(listed)
    assert principal.scopes == {"orders:read"}
    assert principal.attributes == {"team": "a"}
    assert _principal(listed, scope=None).scopes == frozenset()
    assert _principal(Directory({"user:alice": Profile()})).scopes == frozenset(), "listed without scopes: none"


@pytest.mark.holds("identity:claims")
def test_the_home_and_the_token_agree_on_the_tenant() -> None:
    listed = Directory({"user:alice": Profile("acme")})
    assert _principal(listed).tenant == "acme"
    assert _principal(listed, org=None).tenant == "acme"
    assert _refused(listed, org="globex") == "tenant"
    assert _principal(names=ClaimMap(tenant_default="solo"), org=None).tenant == "solo"
    assert _principal(names=ClaimMap(tenant_default="solo")).tenant == "acme"
    assert _refused(org=None) == "tenant"


@pytest.mark.holds("identity:claims")
def test_a_client_acting_for_itself_is_a_service() -> None:
    """A client registered under the name of a person must not become that person."""
    assert _principal(sub="alice", client_id="alice").subject == "service:alice"
    assert _principal(names=ClaimMap(subject_prefix="service:"), sub="a", client_id="a").subject == "service:a"


def test_names_that_carry_their_prefix() -> None:
    names = ClaimMap(subject_prefix="", actor_prefix="")
    principal = _principal(names=names, sub="service:batch", act={"sub": "user:carol"})
    assert (principal.subject, principal.chain) == ("service:batch", ("user:carol",))
    for said in ("alice", "agent:x", "role:admin", "user:", "user:a b"):
        assert _refused(names=names, sub=said) == "claims"
    assert _refused(names=names, act={"sub": "role:admin"}) == "claims"


def test_client_ids_that_are_addresses_get_a_name() -> None:
    address = "https://claude.example/oauth/client.json"
    assert _refused(client_id=address) == "claims"
    names = ClaimMap(clients={address: "agent:claude"})
    assert _principal(names=names, client_id=address).client == "agent:claude"
    assert _principal(names=names, client_id=address, act={"sub": address}).chain == ()
    assert _principal(names=names, act={"sub": address}).chain == ("agent:claude",)


@pytest.mark.holds("identity:delegation")
def test_every_hop_of_a_delegation_is_in_the_chain_nearest_first() -> None:
    act = {"sub": "planner", "act": {"sub": "orchestrator", "act": {"sub": "scheduler"}}}
    assert _principal(act=act).chain == ("agent:planner", "agent:orchestrator", "agent:scheduler")
    acting = {"sub": "desktop", "act": {"sub": "orchestrator"}}
    assert _principal(act=acting).chain == ("agent:orchestrator",), "the client is named as the client"
    assert _principal(act={"sub": "planner", "act": {"sub": "desktop"}}).chain == ("agent:planner", "agent:desktop")
    assert _principal(act={"sub": "p", "iss": "https://issuer.example"}).chain == ("agent:p",)


@pytest.mark.holds("identity:delegation")
@given(st.integers(1, 20))
@settings(deadline=None, max_examples=20)
def test_a_chain_is_whole_or_the_token_is_refused(depth: int) -> None:
    act: dict[str, Any] = {"sub": "hop-0"}
    for level in range(1, depth):
        act = {"sub": f"hop-{level}", "act": act}
    if depth > MAX_HOPS:
        assert _refused(act=act) == "delegation"
    else:
        assert _principal(act=act).chain == tuple(f"agent:hop-{level}" for level in reversed(range(depth)))


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.holds("identity:claims")
@given(st.dictionaries(st.sampled_from(["sub", "client_id", "azp", "org", "scope", "roles", "act"]), _anything))
@settings(deadline=None, max_examples=300)
def test_no_claim_makes_anything_but_a_plain_principal(changes: dict[str, Any]) -> None:
    try:
        principal = principal_of({**GOOD, **changes}, ClaimMap(), NOBODY)
    except TokenRefused:
        return
    assert principal.subject.startswith(("user:", "service:"))
    assert principal.client.startswith("agent:")
    assert all(role.startswith("role:") and role.isascii() for role in principal.roles)
    assert all(hop.startswith("agent:") for hop in principal.chain)
    for name in (principal.subject, principal.client, *principal.chain, principal.tenant):
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        ([], set()),
        (["support", "support", "role:support"], {"role:support"}),
        (["Domain Admins", "role:", "", "*", "role:*", "user:alice", "r\u00f4le", "admin\u200b", "a" * 200], set()),
        (["role:role:x"], set()),
    ],
)
def test_what_can_name_no_role_says_nothing(roles: list[str], found: set[str]) -> None:
    assert _principal(roles=roles).roles == found
