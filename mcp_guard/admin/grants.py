"""Granting further calls like one that is approved: what may be granted, what stands, and taking it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp_guard.admin.approvals import Approvals
from mcp_guard.admin.short_ids import can_begin, the_one
from mcp_guard.approval.grant_store import Kept
from mcp_guard.approval.grants import (
    LONGEST_S,
    MOST_USES,
    Grant,
    Likeness,
    NotGranted,
    can_vary,
    may_stand_in,
    numbers_of,
)
from mcp_guard.approval.request import RULE_STEP, ApprovalRequest, binding
from mcp_guard.approval.rules import ADVICE, DECLARED, DELEGATED, NOT_YOURS
from mcp_guard.approval.store import Channel
from mcp_guard.generation import InForce, Spent
from mcp_guard.granting import Granting
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.limits.seen import Seen
from mcp_guard.manifest.catalog import Entry
from mcp_guard.model.decision import Decision, Obligations
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.parking import Beside, new_id

_EVERY = "`mcp-guard approvals grants --all` shows what became of each"
_OVER = {
    "used": "All its uses were used up.",
    "expired": "Its time is over.",
    "revoked": "This grant was revoked before.",
}
NO_SUCH = "There is no such grant."
_LISTED = "`mcp-guard approvals grants` shows what stands"
_ONCE = "approve it without --for and --uses"


@dataclass(frozen=True, slots=True)
class WantedGrant:
    """What somebody wants to grant with their approval. `vary` names the arguments that may differ; without a name
    those that are numbers may."""

    seconds: float
    uses: int
    same_shape: bool = False
    vary: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Grants:
    """Use-cases of people who grant. Every method raises `StoreUnavailable`."""

    granting: Granting
    approvals: Approvals
    in_force: InForce
    seen: Seen
    spent: Spent
    clock: Clock

    async def plan(self, principal: Principal, request: ApprovalRequest, wanted: WantedGrant) -> Grant:
        """The grant somebody may make with their approval of `request`; nothing is recorded.

        Raises `Refused` where they may not decide, and `UsageError` where this cannot be granted.
        """
        self.approvals.require_decider(principal, request)
        period = (request.expires_at - request.created_at) / 1_000_000
        if not 1 <= wanted.seconds <= LONGEST_S or not 1 <= wanted.uses <= MOST_USES:
            raise UsageError(
                "That is too much or nothing.",
                hint=f"--for from 1s to {LONGEST_S // 3600}h, --uses from 1 to {MOST_USES}",
            )
        if wanted.seconds > period:
            raise UsageError(
                "The rule does not let an approval stand that long.", hint=f"--for {int(period)}s at most (`expires`)"
            )
        entry, requester, arguments = await self._asked(request)
        tool, now = entry.tool, self.clock.now_us()
        like = Likeness.of(requester, tool.name, tool.fingerprint, self._decision(requester, tool.name, arguments, now))
        if like is None or (like.rule, like.approvers) != (request.rule, request.approvers):
            raise UsageError("Policy would not ask for this approval, or not for it alone, any more.", hint=_ONCE)
        return Grant(
            id=new_id(),
            approval=request.id,
            like=like,
            arguments=arguments,
            varies=self._varies(wanted, arguments, entry),
            sensitive=tuple(tool.sensitive),
            uses=wanted.uses,
            created_at=now,
            until=now + round(wanted.seconds * 1_000_000),
            by=principal,
        )

    async def approve(
        self, principal: Principal, request: ApprovalRequest, grant: Grant, channel: Channel
    ) -> ApprovalRequest:
        """Approve a request and make the grant, in one commit. Raises as `Approvals.decide` does."""
        said = {"grant": grant.id, "uses": grant.uses, "until": grant.until, "varies": list(grant.varies)}
        work = self.granting.grants.granting(grant)
        return await self.approvals.decide(principal, request.id, "approved", channel, Beside(work, said))

    async def all(self, *, everything: bool = False) -> list[Mapping[str, object]]:
        """Grants as people see them, oldest first: those that stand, or with `everything` the others too."""
        found = await self.granting.grants.all()
        shown = [await self._shown(kept) for kept in found]
        return [row for row in shown if everything or row["state"] == "granted"]

    async def revoke(self, principal: Principal, identifier: str, channel: Channel) -> Mapping[str, object]:
        """Take a grant back; it as it stands afterwards. Raises `Refused`, and `UsageError` where there is none."""
        kept = await self._find(identifier)
        grant = kept.grant
        if (why := self._objection(principal, grant)) is not None:
            raise Refused("policy_denied", why, effect="deny", hint=ADVICE.get(why))
        request = await self.granting.parking.approvals.find(grant.approval)
        if request is None:
            raise UsageError(NO_SUCH, hint=_LISTED)
        if (over := _OVER.get(str((await self._shown(kept))["state"]))) is not None:
            raise UsageError(f"{over} There is nothing left to take back.", hint=_EVERY)
        work = self.granting.grants.revoking(grant, self.clock.now_us())
        try:
            await self.granting.parking.revoke(request, principal, channel, Beside(work, {"grant": grant.id}))
        except NotGranted:
            raise UsageError("This grant was revoked before.", hint=_LISTED) from None
        return await self._shown(await self._find(grant.id))

    async def _find(self, identifier: str) -> Kept:
        found = await self.granting.grants.all()
        near = {it.grant.id: it for it in found if can_begin(identifier) and it.grant.id.startswith(identifier)}
        return near[the_one(identifier, list(near), UsageError(NO_SUCH, hint=_LISTED))]

    async def _asked(self, request: ApprovalRequest) -> tuple[Entry, Principal, Mapping[str, object]]:
        """The tool, who asked, and the arguments of a request, where exactly they are what it is bound to.

        Raises `UsageError` where a grant cannot stand in for what was asked.
        """
        if request.rule == RULE_STEP:
            raise UsageError("A workflow's own question is answered one by one.", hint=_ONCE)
        if not may_stand_in(Obligations(request.approvers, request.not_requester, request.quorum)):
            raise UsageError("One person cannot grant what takes several.", hint=_ONCE)
        entry = self.in_force.current.catalog.get(request.tool)
        parking = self.granting.parking
        task = await parking.tasks.find(request.task)
        arguments = await parking.asked(request, whole=True)
        if entry is None or task is None or task.is_erased or arguments is None:
            raise UsageError("The tool is not what it was when this was asked for.", hint=_ONCE)
        if entry.tool.becomes_task:
            raise UsageError("What goes on as a task is approved one by one.", hint=_ONCE)
        requester = parking.content(task).principal
        about = binding(entry.tool.name, entry.tool.fingerprint, requester, arguments, request.rule)
        if parking.bound(request, about) != request.binds:
            raise UsageError("The tool is not what it was when this was asked for.", hint=_ONCE)
        return entry, requester, arguments

    def _varies(self, wanted: WantedGrant, arguments: Mapping[str, object], entry: Entry) -> tuple[str, ...]:
        """The arguments that may differ. Raises `UsageError` where one cannot, or none can."""
        if not wanted.same_shape:
            return ()
        bound = entry.tool.bind
        for name in wanted.vary:
            if name not in arguments or name in bound or not can_vary(arguments[name]):
                known = sorted(key for key, value in arguments.items() if key not in bound and can_vary(value))
                raise UsageError("That argument cannot vary.", hint=f"those that can: {', '.join(known) or 'none'}")
        varies = tuple(sorted(set(wanted.vary))) or numbers_of(arguments, bound)
        if not varies:
            raise UsageError("None of the arguments is a number.", hint="name what may differ with --vary")
        return varies

    def _objection(self, principal: Principal, grant: Grant) -> str | None:
        """Why somebody may not revoke a grant. Who gave it may, and whoever may approve the tool."""
        decision = self.granting.deciders.decision(principal, grant.like.tool)
        is_theirs = principal.subject == grant.by.subject
        if principal.tenant != grant.like.tenant or not (is_theirs or decision.allowed):
            return NOT_YOURS
        if principal.chain:
            return DELEGATED
        if principal.assurance == "declared" and not self.granting.deciders.trusted_declared:
            return DECLARED
        return None

    async def _shown(self, kept: Kept) -> dict[str, object]:
        grant, said = kept.grant, await self.granting.grants.on_record(kept.grant)
        left = grant.uses - max(kept.used, said.uses)
        if kept.revoked or said.revoked:
            state = "revoked"
        elif self.clock.now_us() >= grant.until:
            state = "expired"
        elif left <= 0:
            state = "used"
        else:
            state = "granted" if said.created and await self.granting.stands(grant) else "void"
        return {
            "id": grant.id,
            "tool": grant.like.tool,
            "requester": grant.like.subject,
            "via": grant.like.client,
            "tenant": grant.like.tenant,
            "rule": grant.like.rule,
            "by": grant.by.subject,
            "approval": grant.approval,
            "admits": grant.sentence(),
            "varies": list(grant.varies),
            "uses": grant.uses,
            "left": max(0, left),
            "until": as_datetime(grant.until).isoformat(timespec="seconds"),
            "state": state,
        }

    def _decision(self, requester: Principal, tool: str, arguments: Mapping[str, object], now: int) -> Decision:
        """What policy says of the call that waits, if it was made now: with all that it obliges to."""
        under = self.in_force.current
        seen = under.seen_by(requester, self.seen)
        spent = under.spent_by(requester, "call", self.spent)
        return under.decide(requester, "call", tool, as_datetime(now), arguments, seen=seen, spent=spent)
