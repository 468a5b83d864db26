"""Stock Casbin as the oracle: without approval rows and failing conditions its answer is ours."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.policy import names, stock, view
from mcp_guard.policy.load import load
from tests.policy.conftest import MONDAY_NOON, TOOLS, Files, principal, row

PEOPLE = ["user:alice", "user:bob", "service:billing"]
AGENTS = ["agent:local", "agent:other"]
ROLES = ["role:a", "role:b", "role:c"]
TENANTS = ["acme", "globex"]
ARGUMENTS = {"amount": 50, "country": "DE", "to": ["ada@acme.example"], "path": "/srv/a", "flag": True, "items": 3}

# None of these fails for `ARGUMENTS`; those over arguments are for rows about calls.
ANYWHERE = ["True", "False", '"x:y" in r.ctx.scopes', 'r.ctx.subject.id == "user:alice"', "r.ctx.now > 5",
            'hours(r.ctx.now, "Mon 09:00-17:00")', 'r.ctx.subject.attributes.team in ("a", "b")']  # fmt: skip
IN_CALLS = ["r.ctx.args.amount > 10 and r.ctx.args.amount <= 50", "0 < r.ctx.args.amount < 50", "r.ctx.args.items == 3",
            'all_domains(r.ctx.args.to, "acme.example")', 'not within(r.ctx.args.path, "/srv")',
            'r.ctx.args.country in ["DE", "FR"] or r.ctx.args.missing', 'matches(r.ctx.args.country, "D?")',
            "not r.ctx.args.flag"]  # fmt: skip

_columns = {
    "who": st.sampled_from(["*", *PEOPLE, *ROLES]),
    "via": st.sampled_from(["*", *AGENTS, *ROLES]),
    "tenant": st.sampled_from(["*", *TENANTS]),
    "tool": st.sampled_from(
        ["*", "orders_get", "orders_*", "p*", "risk:high", "risk:low", "toolset:mail", "audit:records"]
    ),
    "eft": st.sampled_from(["allow", "allow", "deny"]),
}
_call_rows = st.fixed_dictionaries({**_columns, "act": st.just("call"), "when": st.sampled_from(ANYWHERE + IN_CALLS)})
_any_rows = st.fixed_dictionaries(
    {**_columns, "act": st.sampled_from(["*", "list"]), "when": st.sampled_from(ANYWHERE)}
)
_links = st.lists(
    st.builds(
        "g, {}, {}, {}".format,
        st.sampled_from([*PEOPLE, *AGENTS, "role:a"]),
        st.sampled_from(["role:b", "role:c"]),
        st.sampled_from(TENANTS),
    )
    | st.builds("g, {}, role:a, {}".format, st.sampled_from([*PEOPLE, *AGENTS]), st.sampled_from(TENANTS)),
    max_size=5,
)
_policies = st.tuples(st.lists(_call_rows | _any_rows, min_size=1, max_size=6), _links)
_acts: st.SearchStrategy[Act] = st.sampled_from(["call", "call", "list"])
_requests = st.builds(
    lambda who, via, tenant, act, tool: AccessRequest(
        principal(who, via, tenant, scopes=frozenset({"x:y"}), attributes={"team": "a"}),
        act, tool, MONDAY_NOON, ARGUMENTS if act == "call" else None, {"name": "demo"},
    ),
    st.sampled_from(PEOPLE), st.sampled_from(AGENTS), st.sampled_from(TENANTS), _acts,
    st.sampled_from([*TOOLS, *names.RESOURCES, "unknown"]),
)  # fmt: skip


@pytest.mark.holds("policy:casbin-agrees")
@given(_policies, st.lists(_requests, min_size=1, max_size=8))
@settings(deadline=None, max_examples=100)
def test_stock_casbin_gives_the_same_answer(
    module_files: Files, policy: tuple[Sequence[dict[str, str]], Sequence[str]], requests: Sequence[AccessRequest]
) -> None:
    rules, links = policy
    text = "\n".join([*(row(id=f"r{index}", **columns) for index, columns in enumerate(rules)), *links]) + "\n"
    module_files.rules.write_text(text, encoding="utf-8")
    snapshot = load(module_files.model, module_files.rules, TOOLS)
    enforcer = stock.load(text, TOOLS)
    for question in requests:
        who = question.principal
        context = view.of_request(question, snapshot.rules.roles.closure(who.subject, who.tenant))
        theirs = enforcer.enforce(who.subject, who.client, who.tenant, question.act, question.tool, context)
        assert snapshot.decide(question).allowed is theirs
