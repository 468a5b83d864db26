"""Rows against the people there are: roles nobody has, attributes nobody has, approvals nobody could decide."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from mcp_guard.model.decision import Effect
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.advice import Subject
from mcp_guard.policy.rows import Row
from mcp_guard.policy.usage import uses
from mcp_guard.policy.who import Profile

_OR_CLAIMED = "or it comes with tokens of your identity provider; then this can stay"


def check(subject: Subject, principals: Mapping[str, Profile]) -> list[Problem]:
    """Warnings, given who is known. A role or an approver may still come from outside, so nothing is an error."""
    people = _People(subject, principals)
    found: list[Problem] = []
    for row in subject.rules.rows:
        found += people.unknown_roles(row)
        found += people.unknown_attributes(row)
        found += people.whole_log(row)
        if row.effect is Effect.REQUIRE_APPROVAL:
            found += people.approval(row)
            found += people.escalation(row)
    return found


def check_confirmers(subject: Subject, principals: Mapping[str, Profile], needed: int) -> list[Problem]:
    """A warning where fewer than `needed` of those known may confirm a change of the policy.

    Conditions may still object. Roles in tokens of an identity provider do not count: changes are confirmed with tokens
    of our own.
    """
    able = _People(subject, principals).confirmers()
    if len(able) >= needed:
        return []
    message = f"changes of the policy wait for {needed} people, but only {len(able)} of those known may confirm them"
    hint = f"add a row such as: p, …, role:…, *, tenant, approve, {names.POLICY}, True, allow, -, …"
    return [Problem("confirmers_unreachable", message, subject.file, hint=hint, severity="warning")]


class _People:
    """Who is known, and which roles they have."""

    def __init__(self, subject: Subject, principals: Mapping[str, Profile]) -> None:
        self._subject = subject
        self._principals = principals
        roles = subject.rules.roles
        self._given = {role for graph in roles.by_tenant.values() for found in graph.values() for role in found}
        self._deciding = [
            row for row in subject.rules.rows if row.effect is Effect.ALLOW and row.act in (names.EVERY, "approve")
        ]
        self._by_tenant: dict[str, dict[str, frozenset[str]]] = {}
        self._attributes = {key for profile in principals.values() for key in profile.attributes}
        said = {row.tenant for row in subject.rules.rows} | {profile.tenant for profile in principals.values()}
        self._tenants_known = {name for name in (*roles.by_tenant, *said) if name is not None and name != names.EVERY}

    def unknown_roles(self, row: Row) -> Iterator[Problem]:
        for column, name in (("who", row.who), ("via", row.via)):
            if names.is_role(name) and name not in self._given:
                yield self._unknown_role(row, column, name)
        if "roles" not in row.when.text:
            return
        for use in uses(row.when.text):
            if use.path == ("subject", "roles"):
                unknown = [str(constant) for constant in use.constants if constant not in self._given]
                yield from (self._unknown_role(row, "when", role, offset=use.offset) for role in unknown)

    def _unknown_role(self, row: Row, column: str, name: str, *, offset: int = 0) -> Problem:
        close = names.closest(name.removeprefix("role:"), [role[len("role:") :] for role in sorted(self._given)])
        hint = f"did you mean role:{close}?" if close else f"give it with a g row, {_OR_CLAIMED}"
        said = name if names.is_role(name) else "what is compared with the roles"
        return self._subject.problem(row, column, "role_unknown", f"no link gives anybody {said}", hint, offset=offset)

    def unknown_attributes(self, row: Row) -> Iterator[Problem]:
        if "attributes" not in row.when.text:
            return
        for use in uses(row.when.text):
            if use.path[:2] == ("subject", "attributes") and len(use.path) > 2 and use.path[2] not in self._attributes:
                hint = names.did_you_mean(use.path[2], sorted(self._attributes)) or "add it in policy/principals.yaml"
                message = f"no known principal has the attribute `{use.path[2]}`"
                yield self._subject.problem(row, "when", "attribute_unknown", message, hint, offset=use.offset)

    def whole_log(self, row: Row) -> Iterator[Problem]:
        """A row that shows the records of every tenant, in a home of several."""
        if row.then.rows == "all" and len(self._tenants_known) > 1:
            message = f"rows=all shows the records of all {len(self._tenants_known)} tenants"
            hint = "write rows=tenant, unless these people answer for every tenant"
            yield self._subject.problem(row, "then", "rows_of_every_tenant", message, hint)

    def approval(self, row: Row) -> Iterator[Problem]:
        """What keeps an approval from ever being decided. Whoever asks can always confirm their own call."""
        if not row.then.approvers:
            return
        approvers = self._named(row, row.then.approvers)
        roles = " ".join(filter(names.is_role, row.then.approvers))
        hint = f"give somebody one of {roles}, {_OR_CLAIMED}" if roles else "name a role, or more people"
        needed = row.then.quorum or 1
        if not approvers:
            yield self._complain(row, "approver_unreachable", "nobody known could approve this", hint)
            return
        allowed = {name for name in approvers if self._may_decide(name, row)}
        if not allowed:
            message = "no approver may decide: none has an allow row with act approve on this tool"
            hint = "add a row such as: p, …, role:…, *, tenant, approve, tool, True, allow, -, …"
            yield self._complain(row, "approver_may_not", message, hint)
        elif len(allowed) < needed:
            message = f"{needed} have to approve, but only {len(allowed)} of those known may"
            yield self._complain(row, "quorum_unreachable", message, hint)
        elif row.then.assurance == "signed" and self._signing(allowed) < needed:
            message = (
                f"decisions have to be signed, but only {self._signing(allowed)} of those who may decide have a key"
            )
            hint = "add the public keys of approvers to policy/principals.yaml (keys: […])"
            yield self._complain(row, "approver_without_key", message, hint)
        elif (
            row.then.not_requester and needed > len(allowed) - 1 and (asking := sorted(allowed & self._requesters(row)))
        ):
            message = f"{asking[0]} may ask for this and would be needed to approve it; nobody else is left to"
            yield self._complain(row, "approver_is_requester", message, hint)

    def escalation(self, row: Row) -> Iterator[Problem]:
        """What keeps an escalation from helping."""
        if row.then.escalate is None:
            return
        found = self._named(row, row.then.escalate.to)
        if not found:
            hint = f"give somebody the role, {_OR_CLAIMED}"
            yield self._complain(row, "escalation_unreachable", "it is escalated to nobody known", hint)
        elif not any(self._may_decide(name, row) for name in found):
            message = "whom it is escalated to may not decide: none has an allow row with act approve on this tool"
            hint = "add a row such as: p, …, role:…, *, tenant, approve, tool, True, allow, -, …"
            yield self._complain(row, "escalation_may_not", message, hint)

    def _signing(self, people: Iterable[str]) -> int:
        """How many of these people have a key to sign with."""
        return sum(bool(profile.keys) for name in people if (profile := self._principals.get(name)) is not None)

    def confirmers(self) -> set[str]:
        """Everybody with a row that lets them approve changes of the policy."""
        rows = [row for row in self._deciding if names.tools_named(row.tool, [names.POLICY], {})]
        return {
            name
            for tenant in self._tenants_known
            for name, roles in self._in_tenant(tenant).items()
            if any(row.tenant in (names.EVERY, tenant) and row.who in (names.EVERY, *roles) for row in rows)
        }

    def _complain(self, row: Row, code: str, message: str, hint: str) -> Problem:
        return self._subject.problem(row, "then", code, message, hint)

    def _everybody(self, row: Row) -> Iterator[tuple[str, frozenset[str]]]:
        """Known people who are not agents, each with their roles in a tenant of the row."""
        for tenant in self._tenants(row):
            yield from self._in_tenant(tenant).items()

    def _tenants(self, row: Row) -> Collection[str]:
        return self._subject.rules.roles.by_tenant if row.tenant == names.EVERY else (row.tenant,)

    def _in_tenant(self, tenant: str) -> dict[str, frozenset[str]]:
        found = self._by_tenant.get(tenant)
        if found is None:
            roles = self._subject.rules.roles
            found = self._by_tenant[tenant] = {
                name: roles.closure(name, tenant)
                for name in sorted({*self._principals, *roles.by_tenant.get(tenant, {})})
                if not name.startswith(("agent:", "role:")) and not self._is_elsewhere(name, tenant)
            }
        return found

    def _is_elsewhere(self, name: str, tenant: str) -> bool:
        profile = self._principals.get(name)
        return profile is not None and profile.tenant not in (None, tenant)

    def _named(self, row: Row, approvers: Iterable[str]) -> set[str]:
        """The known people that approvers of a row are."""
        named = set(approvers)
        return {name for name, roles in self._everybody(row) if roles & named} | {
            name for name in named if not names.is_role(name)
        }

    def _requesters(self, row: Row) -> set[str]:
        return {name for name, roles in self._everybody(row) if row.who in (names.EVERY, *roles)}

    def _may_decide(self, name: str, row: Row) -> bool:
        """Whether a row lets somebody decide about calls of the row's tools; its condition may still object."""
        found = (self._in_tenant(tenant).get(name, frozenset()) for tenant in self._tenants(row))
        roles = frozenset({name, names.EVERY}).union(*found)
        return any(
            other.who in roles
            and (names.EVERY in (other.tenant, row.tenant) or other.tenant == row.tenant)
            and self._overlap(other.tool, row.tool)
            for other in self._deciding
        )

    def _overlap(self, one: str, other: str) -> bool:
        tools: Iterable[str] = self._subject.rules.tags
        found = names.tools_named(one, tools, self._subject.rules.tags)
        return not set(found).isdisjoint(names.tools_named(other, tools, self._subject.rules.tags))
