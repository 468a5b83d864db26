"""Who may decide an approval: a function of the request, the one who wants to decide, and what policy says of them."""

from collections.abc import Collection
from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.store import Agreed, Channel
from mcp_guard.model.decision import AskedNow, Decision
from mcp_guard.model.principal import Principal, is_assured

NOT_YOURS = "you are not among those who decide this"
REQUESTER = "whoever asked cannot decide this, through whatever client"
DECLARED = "deciding needs a token: a declared identity is not enough here"
UNSIGNED = "this takes a decision signed with your own key: `mcp-guard approvals approve ID --sign KEY`"
TOO_WEAK = "this takes somebody who is known more surely: with an access token, or by a signature (`--sign KEY`)"
DELEGATED = "an approval is decided in person, not on behalf of somebody"
NOT_HERE = "whoever asked confirms this in person: in a form of their client, or with `mcp-guard approvals approve`"
ONLY_OWN = "a form only ever confirms a call of one's own, made through the same client"

ADVICE = {
    NOT_YOURS: "leave it to those who are asked: `mcp-guard approvals show ID` names them",
    REQUESTER: "somebody else of those who are asked has to decide: `mcp-guard approvals show ID` names them",
    DECLARED: "decide with `--token`, made by `mcp-guard token create`, or with `--sign KEY`",
    UNSIGNED: "sign with a key that is declared in `policy/principals.yaml`",
    TOO_WEAK: "decide with an access token of your issuer, or with `--sign KEY`, as the rule's assurance asks",
    DELEGATED: "decide under your own name, with a token of yours",
    NOT_HERE: "have the person confirm it in their client's form, or with `mcp-guard approvals approve ID`",
    ONLY_OWN: "`mcp-guard approvals approve ID` decides about calls of others",
}
"""What to do about a refusal. Anything else is policy's own word, and its advice is that of any denial."""

HASTY_US = 2_000_000
"""A decision that came sooner than this after it was asked for was hardly read."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Somebody who wants to decide. `roles` is everything they are in the request's tenant, their own name included.

    `decision` is what policy says of their `approve` on the tool. `trusted_declared`: a demo home takes them at their
    word. `channel` is how they say it.
    """

    principal: Principal
    roles: Collection[str]
    decision: Decision
    trusted_declared: bool = False
    channel: Channel = "cli"


def stands(wanted: AskedNow | None, agreed: Agreed) -> bool:
    """Whether what was agreed to is all that is `wanted` by now; nothing is where policy lets the call go ahead.

    People who were asked and may still be asked are not looked up again. Where the rule names others, each who agreed
    has to be one of them. A confirmation is nobody's agreement as an approver.
    """
    if wanted is None:
        return True
    then, request = wanted.then, agreed.request
    if then.confirm and not agreed.confirmed:
        return False
    if request.is_confirmation or not then.approvers:
        return not then.approvers and agreed.confirmed
    asked = {*then.approvers, *(then.escalate.to if then.escalate is not None and agreed.escalated else ())}
    known = asked.issuperset(request.asked(escalated=agreed.escalated))
    excluded = _took_part(request) if then.not_requester else set()
    voters = {vote.subject for vote in agreed.votes if known or not asked.isdisjoint(wanted.roles(vote.subject))}
    return len(voters - excluded) >= (then.quorum or 1)


def objection(request: ApprovalRequest, decider: Decider, *, escalated: bool = False) -> str | None:
    """Why somebody may not decide; `None` where they may (I4). Whom it is `escalated` to has to meet all the same."""
    who = decider.principal
    if request.is_confirmation:
        return _objection_to_confirming(request, decider)
    if decider.channel == "elicitation":
        return ONLY_OWN
    if who.tenant != request.tenant or not set(request.asked(escalated=escalated)) & set(decider.roles):
        return NOT_YOURS
    if not decider.decision.allowed:
        return decider.decision.reason
    if who.chain:
        return DELEGATED
    if who.assurance == "declared" and not decider.trusted_declared:
        return DECLARED
    if request.not_requester and who.subject in _took_part(request):
        return REQUESTER
    return None


def _took_part(request: ApprovalRequest) -> set[str]:
    """Everybody who took part in asking. A client that acts for itself has the name of a service (RFC 9068 section
    2.2): it is the agent it is when it acts for somebody else."""
    named = {request.requester, request.client, *request.chain}
    return named | {f"service:{name.removeprefix('agent:')}" for name in named if name.startswith("agent:")}


def is_hasty(request: ApprovalRequest, decided_at: int) -> bool:
    """Whether a decision (unix µs) came too soon to have been thought about.

    Measured from when it was asked for: nobody can have been shown it sooner, so what is flagged was hasty, and what
    was looked at late and decided at once is not.
    """
    return decided_at - request.created_at < HASTY_US


def shortfall(request: ApprovalRequest, who: Principal) -> str | None:
    """Why a decision of somebody who may decide would not count the way they are known here."""
    if is_assured(who.assurance, request.assurance):
        return None
    return UNSIGNED if request.assurance == "signed" else TOO_WEAK


def _objection_to_confirming(request: ApprovalRequest, decider: Decider) -> str | None:
    """Why somebody may not confirm a call. The model that asked for it speaks through its client's tool calls, so none
    of those confirms; a form is shown to the person at that client, however they are known there."""
    who = decider.principal
    if (who.subject, who.tenant) != (request.requester, request.tenant):
        return NOT_YOURS
    if not decider.decision.allowed:
        return decider.decision.reason
    if who.chain:
        return DELEGATED
    if decider.channel == "elicitation":
        return None if who.client == request.client and not request.chain else ONLY_OWN
    if decider.channel == "mcp":
        return NOT_HERE
    return DECLARED if who.assurance == "declared" and not decider.trusted_declared else None
