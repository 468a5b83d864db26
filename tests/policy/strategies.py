"""Policies and questions of the shipped shape, for properties and for the long run of `fuzz.py`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names
from tests.policy.conftest import MONDAY_NOON, TOOLS, row

PEOPLE = ["user:alice", "user:bob", "service:billing"]
AGENTS = ["agent:local", "agent:other"]
ROLES = ["role:a", "role:b", "role:c", "role:d"]
TENANTS = ["acme", "globex"]

ANYWHERE = [
    "True", "True", "True", "False", '"x:y" in r.ctx.scopes', 'r.ctx.subject.id == "user:alice"',
    'hours(r.ctx.now, "Mon 09:00-17:00")', 'r.ctx.subject.attributes.team in ("a", "b")', "r.ctx.now >= 1767614400",
    '"role:b" in r.ctx.subject.roles', '"agent:other" in r.ctx.delegation', 'r.ctx.client.id == "agent:local"',
    'r.ctx.env.name == "demo"', '"untrusted" in r.ctx.seen', 'not ("pii" in r.ctx.seen)',
]  # fmt: skip
IN_CALLS = [
    "r.ctx.args.amount > 10 and r.ctx.args.amount <= 50", "0 < r.ctx.args.amount < 50", "r.ctx.args.amount > 50",
    "r.ctx.args.amount == -1 or r.ctx.args.amount in (-5, 50)", "r.ctx.args.items == 3", "not r.ctx.args.flag",
    'all_domains(r.ctx.args.to, "acme.example")', 'not within(r.ctx.args.path, "/srv")', "r.ctx.args.missing > 1",
    'r.ctx.args.country in ["DE", "FR"] or r.ctx.args.missing', 'matches(r.ctx.args.country, "D?")',
    '"flag" in r.ctx.args and r.ctx.args.flag', "r.ctx.args.amount + 1 > 50",
    "r.ctx.spent.usd_today >= 400", "r.ctx.spent.usd_today + r.ctx.args.amount <= 500", "r.ctx.spent.tokens_month < 1",
]  # fmt: skip
LIMITS = ["rate=3/minute/who", "budget=5usd/day/via; concurrency=2", "rate=1/hour/tool; budget=0.5usd/month/all"]
THEN = [
    *(f"approvers=role:a; {text}" for text in LIMITS),
    "approvers=role:a",
    "approvers=role:b; not=requester; expires=4h",
    "approvers=user:bob; quorum=2; expires=1h",
    "approvers=role:b; assurance=signed",
    "confirm=requester",
    "confirm=requester; approvers=role:a",
]

_columns = {
    "who": st.sampled_from(["*", *PEOPLE, *AGENTS, *ROLES]),
    "via": st.sampled_from(["*", "*", *AGENTS, *ROLES]),
    "tenant": st.sampled_from(["*", *TENANTS]),
    "tool": st.sampled_from(
        ["*", "orders_get", "orders_*", "p*", "pay*", "risk:high", "risk:low", "toolset:mail", "audit:records"]
    ),
}


def _columns_of(act: str, eft: str, when: str, then: str = "-", **more: str) -> dict[str, str]:
    return {"act": act, "eft": eft, "when": when, "then": then, **more}


_about_calls = st.builds(
    _columns_of, st.just("call"), st.sampled_from(["allow", "allow", "deny"]), st.sampled_from(ANYWHERE + IN_CALLS)
)
_limited = st.builds(
    _columns_of,
    st.just("call"),
    st.just("allow"),
    st.sampled_from(ANYWHERE + IN_CALLS),
    st.sampled_from(LIMITS),
)
_about_anything = st.builds(
    _columns_of,
    st.sampled_from(["*", "list", "audit", "approve"]),
    st.sampled_from(["allow", "allow", "deny"]),
    st.sampled_from(ANYWHERE),
)
_approvals = st.builds(
    _columns_of,
    st.just("call"),
    st.just("require_approval"),
    st.sampled_from(ANYWHERE + IN_CALLS),
    st.sampled_from(THEN),
)
_readings = st.builds(
    _columns_of,
    st.just("audit"),
    st.just("allow"),
    st.sampled_from(ANYWHERE),
    st.sampled_from(["rows=own", "rows=tenant", "rows=all"]),
)
_rows = st.builds(
    lambda where, what: {**where, **what},
    st.fixed_dictionaries(_columns),
    _about_calls | _limited | _about_anything | _approvals | _readings,
)
_links = st.lists(
    st.builds(
        lambda member, role, tenant: f"g, {member}, {role}, {tenant}",
        st.sampled_from([*PEOPLE, *AGENTS]),
        st.sampled_from(ROLES),
        st.sampled_from(TENANTS),
    )
    # From a role only to a later one: chains of every length and no circle.
    | st.builds(
        lambda pair, tenant: f"g, {ROLES[pair[0]]}, {ROLES[pair[1]]}, {tenant}",
        st.sampled_from([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]),
        st.sampled_from(TENANTS),
    ),
    max_size=6,
    unique=True,
)


def _text(rules: list[dict[str, str]], links: list[str]) -> str:
    return "".join(f"{line}\n" for line in [*(row(id=f"r{i}", **rule) for i, rule in enumerate(rules)), *links])


policies: st.SearchStrategy[str] = st.builds(_text, st.lists(_rows, min_size=1, max_size=9), _links)
"""The text of a rules file."""

_arguments: st.SearchStrategy[Mapping[str, object]] = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([50, 11, 10, 51, 0, -1, 50.5, "50", None, True, 10**18]),
        "country": st.sampled_from(["DE", "FR", "US", "", 5]),
        "to": st.sampled_from(["a@acme.example", ["a@acme.example"], ["a@acme.example", "b@evil.example"], [], 5]),
        "path": st.sampled_from(["/srv/a", "/srv/../a", "/etc", ""]),
        "flag": st.sampled_from([True, False, 1]),
        "items": st.sampled_from([3, 4, "3"]),
    },
)
_acts: st.SearchStrategy[Act] = st.sampled_from(["call", "call", "call", "list", "audit", "approve", "task"])


class _Situation(NamedTuple):
    hours: int
    arguments: Mapping[str, object]
    seen: frozenset[str] | None
    spent: Mapping[str, int | float] | None


def _request(who: Principal, act: Act, tool: str, around: _Situation) -> AccessRequest:
    now = MONDAY_NOON + timedelta(hours=around.hours)
    arguments = None if act == "list" else around.arguments
    return AccessRequest(who, act, tool, now, arguments, {"name": "demo"}, around.seen, around.spent)


_principals = st.builds(
    Principal,
    subject=st.sampled_from([*PEOPLE, *PEOPLE, "user:stranger", "role:a", "*", ""]),
    client=st.sampled_from([*AGENTS, *AGENTS, "agent:stranger", "role:b", "*"]),
    tenant=st.sampled_from([*TENANTS, *TENANTS, "elsewhere", "*"]),
    auth=st.just("local"),
    assurance=st.just("declared"),
    scopes=st.sampled_from([frozenset(), frozenset({"x:y"})]),
    roles=st.frozensets(st.sampled_from([*ROLES, "user:bob", "*", "role:"]), max_size=2),
    attributes=st.sampled_from([{"team": "a"}, {"team": "c"}, {}]),
    chain=st.lists(st.sampled_from([*AGENTS, *PEOPLE, "agent:stranger", "role:a"]), max_size=2).map(tuple),
)
requests: st.SearchStrategy[AccessRequest] = st.builds(
    _request,
    _principals,
    _acts,
    st.sampled_from([*TOOLS, *names.RESOURCES, "unknown", "payments", "orders_*", "*", "", "risk:high"]),
    st.builds(
        _Situation,
        st.sampled_from([0, 0, 6, 24]),
        _arguments,
        st.sampled_from([None, frozenset(), frozenset({"untrusted"}), frozenset({"pii", "untrusted"})]),
        st.sampled_from([None, {}, {"usd_today": 399.5, "tokens_month": 0}, {"usd_today": 400}, {"usd_today": 500}]),
    ),
)
