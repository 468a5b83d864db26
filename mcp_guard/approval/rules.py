"""Who may decide an approval: a function of the request, the one who wants to decide, and what policy says of them."""

from collections.abc import Collection
from dataclasses import dataclass

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.model.decision import Decision
from mcp_guard.model.principal import Principal, is_assured

NOT_YOURS = "you are not among those who decide this"
REQUESTER = "whoever asked cannot decide this, through whatever client"
DECLARED = "deciding needs a token: a declared identity is not enough here"
UNSIGNED = "this takes a decision signed with your own key: `mcp-guard approvals approve ID --sign KEY`"
TOO_WEAK = "this takes somebody who is known more surely: with an access token, or by a signature (`--sign KEY`)"
DELEGATED = "an approval is decided in person, not on behalf of somebody"

HASTY_US = 2_000_000
"""A decision that came sooner than this after it was asked for was hardly read."""


@dataclass(frozen=True, slots=True)
class Decider:
    """Somebody who wants to decide. `roles` is everything they are in the request's tenant, their own name included.

    `decision` is what policy says of their `approve` on the tool. `trusted_declared`: a demo home takes them at their
    word.
    """

    principal: Principal
    roles: Collection[str]
    decision: Decision
    trusted_declared: bool = False


def objection(request: ApprovalRequest, decider: Decider, *, escalated: bool = False) -> str | None:
    """Why somebody may not decide; `None` where they may (I4). Whom it is `escalated` to has to meet all the same."""
    who = decider.principal
    if who.tenant != request.tenant or not set(request.asked(escalated=escalated)) & set(decider.roles):
        return NOT_YOURS
    if not decider.decision.allowed:
        return decider.decision.reason
    if who.chain:
        return DELEGATED
    if who.assurance == "declared" and not decider.trusted_declared:
        return DECLARED
    if request.not_requester and who.subject in (request.requester, *request.chain):
        return REQUESTER
    return None


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
