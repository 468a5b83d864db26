"""Roles: per tenant, without circles, never deeper than Casbin looks."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.roles import Link, Roles, check


def chain(length: int) -> list[Link]:
    names = ["user:a", *(f"role:r{index}" for index in range(length))]
    return [Link(member, role, "acme", line) for line, (member, role) in enumerate(pairwise(names), 1)]


def test_a_role_holds_in_its_tenant_only() -> None:
    roles = Roles.of(
        [Link("user:a", "role:x", "acme", 1), Link("role:x", "role:y", "acme", 2), Link("user:a", "role:z", "other", 3)]
    )
    assert roles.closure("user:a", "acme") == {"user:a", "role:x", "role:y"}
    assert roles.closure("user:a", "other") == {"user:a", "role:z"}
    assert roles.closure("user:a", "*") == {"user:a"}
    assert roles.closure("user:b", "acme") == {"user:b"}


@pytest.mark.holds("policy:claimed-roles")
def test_claimed_roles_are_links_of_one_question() -> None:
    roles = Roles.of([Link("role:x", "role:y", "acme", 1)])
    assert roles.closure("user:a", "acme", ["role:x"]) == {"user:a", "role:x", "role:y"}
    assert roles.closure("user:a", "other", ["role:x"]) == {"user:a", "role:x"}
    assert roles.closure("user:a", "acme") == {"user:a"}


@pytest.mark.holds("policy:claimed-roles")
@pytest.mark.parametrize("claim", ["user:admin", "agent:root", "*", "", "x", "role:", "role:a b", "Role:x"])
def test_a_claim_that_is_no_role_is_ignored(claim: str) -> None:
    roles = Roles.of([Link("user:admin", "role:x", "acme", 1)])
    assert roles.closure("user:a", "acme", [claim]) == {"user:a"}


def test_nine_links_are_seen_and_ten_are_refused() -> None:
    assert check(chain(9), "p.csv") == []
    assert "role:r8" in Roles.of(chain(9)).closure("user:a", "acme")
    (problem,) = check(chain(10), "p.csv")
    assert (problem.code, problem.line) == ("role_chain", 10)


def test_a_claimed_role_reaches_the_end_of_a_full_chain() -> None:
    """Casbin would stop after nine links; nothing here is silently not seen."""
    names = [f"role:r{index}" for index in range(10)]
    links = [Link(a, b, "acme", line) for line, (a, b) in enumerate(pairwise(names), 1)]
    assert check(links, "p.csv") == []
    assert "role:r9" in Roles.of(links).closure("user:a", "acme", ["role:r0"])


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_a_circle_is_refused(size: int) -> None:
    links = [Link(f"role:r{index}", f"role:r{(index + 1) % size}", "acme", index + 1) for index in range(size)]
    assert [problem.code for problem in check([Link("user:a", "role:r0", "acme", 99), *links], "p.csv")] == [
        "role_cycle"
    ]


def test_the_same_links_in_two_tenants_are_no_circle() -> None:
    assert check([Link("role:a", "role:b", "acme", 1), Link("role:b", "role:a", "other", 2)], "p.csv") == []


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=25))
@settings(deadline=None, max_examples=200)
def test_closure_equals_stock_casbin_for_whatever_is_accepted(pairs: list[tuple[int, int]]) -> None:
    from casbin.rbac.default_role_manager import RoleManager

    links = [Link(f"role:r{a}", f"role:r{b}", "acme", line) for line, (a, b) in enumerate(pairs, 1)]
    if check(links, "p.csv"):
        return
    stock = RoleManager(10)
    for link in links:
        stock.add_link(link.member, link.role)
    roles = Roles.of(links)
    names = [f"role:r{index}" for index in range(12)]
    for name in names:
        assert roles.closure(name, "acme") == {other for other in names if stock.has_link(name, other)}
