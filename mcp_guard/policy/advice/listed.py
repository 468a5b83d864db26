"""Calls nobody can come to make: a call needs the tool listed, and no row lists it."""

from mcp_guard.model.decision import Effect
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.rows import Row

_WHAT = "nobody can call this: no row lets anybody list it here, and what is not listed does not exist"
_HINT = "add a row with act list for the same tool and tenant"


def check(subject: Subject) -> list[Problem]:
    """A warning for every row about calls of tools that no allow row lists in the row's tenant.

    Who a row is about is left out: anybody may have several roles, so only what holds for everybody is said.
    """
    tags, rows = subject.rules.tags, subject.rules.rows
    meant = {
        word: frozenset(names.tools_named(word, [*tags, *names.RESOURCES], tags)) for word in {r.tool for r in rows}
    }
    listed = {(row.tenant, row.tool) for row in rows if row.effect is Effect.ALLOW and row.act in (names.EVERY, "list")}

    def is_listed(call: Row) -> bool:
        return any(
            names.EVERY in (call.tenant, tenant) or call.tenant == tenant
            for tenant, word in listed
            if not meant[call.tool].isdisjoint(meant[word])
        )

    calls = (row for row in rows if row.act == "call" and row.effect is not Effect.DENY)
    return [subject.problem(row, "tool", "never_listed", _WHAT, _HINT) for row in calls if not is_listed(row)]
