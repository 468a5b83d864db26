"""What stock Casbin makes of a question, beside our own answer, and why the two may differ."""

from collections.abc import Iterator
from dataclasses import dataclass

from mcp_guard.model.decision import Effect
from mcp_guard.policy import names, stock, view
from mcp_guard.policy.explanation import Account, Explanation
from mcp_guard.policy.interpreter import actors, is_answerable
from mcp_guard.policy.snapshot import Rules

APPROVAL = "stock Casbin knows no approval: a require_approval row is no allow to it"
FAILED = "stock Casbin raises where a condition cannot be evaluated"
NOBODY = "stock Casbin does not know that only user:, service: and agent: can act"


@dataclass(frozen=True, slots=True)
class Opinion:
    """`allows` is `None` where stock Casbin raised. `notes` say what it cannot see; with one it need not agree."""

    allows: bool | None
    agrees: bool
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """`{"effect": allow|deny|null, "agrees", "notes"}`."""
        effect = None if self.allows is None else (Effect.ALLOW if self.allows else Effect.DENY).value
        return {"effect": effect, "agrees": self.agrees, "notes": list(self.notes)}


def ask(text: str, rules: Rules, explanation: Explanation) -> Opinion:
    """Ask stock Casbin the question of an explanation. `text` is the rules file `rules` were read from."""
    allows = _allows(text, rules, explanation)
    return Opinion(allows, allows is explanation.decision.allowed, tuple(dict.fromkeys(_notes(explanation))))


def _allows(text: str, rules: Rules, explanation: Explanation) -> bool | None:
    request = explanation.request
    who = request.principal
    claims = "".join(f"g, {who.subject}, {role}, {who.tenant}\n" for role in sorted(filter(names.is_role, who.roles)))
    first, *_ = actors(rules, request)
    context = view.of_request(request, first.subject_roles)
    try:
        enforcer = stock.load(f"{text}\n{claims}", rules.tags)
        hops = (who.subject, *who.chain)
        return all(enforcer.enforce(hop, who.client, who.tenant, request.act, request.tool, context) for hop in hops)
    except Exception:  # noqa: BLE001 - what a condition raises may quote arguments, and is not stock Casbin's answer
        return None


def _notes(explanation: Explanation) -> Iterator[str]:
    if not is_answerable(explanation.request):
        yield NOBODY
    for account in (account for hop in explanation.hops for account in hop.accounts):
        yield from _note(account)


def _note(account: Account) -> Iterator[str]:
    if account.outcome == "failed":
        yield FAILED
    elif account.outcome == "applied" and account.row.effect is Effect.REQUIRE_APPROVAL:
        yield APPROVAL
