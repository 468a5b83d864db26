"""Deciding approvals: who may, what they are shown, and that it is on record. Deciding never carries anything out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_guard.admin.short_ids import MOST_NAMED, can_begin, the_one
from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.approval.rules import ADVICE, is_hasty, shortfall
from mcp_guard.approval.signed import Exhibit, Signed, ToSign, read_signature
from mcp_guard.approval.store import Channel, NotPending, Verdict, VotedAlready
from mcp_guard.approval.summary import masked
from mcp_guard.deciding import Deciders
from mcp_guard.generation import InForce
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.moves import ApprovalState
from mcp_guard.model.principal import Principal
from mcp_guard.model.sshsig import SshsigError
from mcp_guard.parking import Beside, Parking

NO_SUCH = "There is no such approval."
FORGED = "this was written by somebody other than the guard: nothing is shown, and no decision about it counts"
_LOOK = "find out who can write the store; `mcp-guard audit verify` checks what is on record"
_SIGN = "sign with a key of yours that is declared in `policy/principals.yaml`"
_NO_SIGNATURE = "the signature does not count"
_NOT_THEIRS = "the key that signed is not declared in the principals file, or not for whom you name"
_LISTED = "`mcp-guard approvals list` shows what waits"


@dataclass(frozen=True, slots=True)
class Approvals:
    """Use-cases of people who decide. `by_key` gives the principal a signature stands for, by subject and client."""

    parking: Parking
    in_force: InForce
    deciders: Deciders
    clock: Clock
    by_key: Callable[[str, str | None], Principal]

    async def all(
        self,
        state: ApprovalState | None = ApprovalState.PENDING,
        *,
        tenant: str | None = None,
        requester: str | None = None,
    ) -> list[ApprovalRequest]:
        """Approvals in a state, oldest first. One whose time is over does not wait, whatever its row says."""
        after = self.clock.now_us() if state is ApprovalState.PENDING else 0
        return await self.parking.approvals.all(state, tenant=tenant, requester=requester, after=after)

    async def for_decider(self, principal: Principal, requester: str | None = None) -> list[ApprovalRequest]:
        """What waits and `principal` may decide as an approver, in their client; perhaps only what one person asked."""
        mine = self.deciders.objection
        # Asked for by tenant: however much waits in another, it hides nothing here.
        waiting = await self.all(tenant=principal.tenant, requester=requester)
        return [request for request in waiting if mine(principal, request, "mcp") is None]

    def may_decide_any(self, principal: Principal) -> bool:
        """Whether policy lets the principal approve anything at all, for listing."""
        under, now = self.in_force.current, as_datetime(self.clock.now_us())
        return any(under.decide(principal, "approve", tool, now).allowed for tool in under.catalog)

    async def shown(self, request: ApprovalRequest, *, whole: bool = False) -> Mapping[str, object]:
        """An approval as people see it; `whole` with the sensitive values too, for whoever may decide it (`values`).

        One that is not as the guard wrote it is `forged`: it has no values here, and deciding it carries nothing out.
        """
        asked = await self.parking.asked(request, whole=whole)
        arguments, forged = asked or {}, {"forged": True} if asked is None else {}
        entry = self.in_force.current.catalog.get(request.tool)
        hidden = () if whole or entry is None else entry.tool.sensitive
        votes = [
            vote.as_dict() | {"hasty": is_hasty(request, vote.voted_at)}
            for vote in await self.parking.approvals.votes(request.id)
        ]
        escalated = self.parking.is_escalated(request)
        return request.as_dict(masked(arguments, hidden), escalated=escalated) | {"decisions": votes, **forged}

    async def values(self, principal: Principal, request: ApprovalRequest) -> Mapping[str, object]:
        """An approval with its sensitive values too, on record before it is answered. Raises `Refused` where the
        principal may not decide it, or where what says so is not the guard's own."""
        self.require_decider(principal, request)
        if await self.parking.asked(request, whole=True) is None:
            raise Refused("policy_denied", FORGED, effect="deny", hint=_LOOK)
        await self.parking.journal.read(principal, {"what": "approval", "approval": request.id})
        return await self.shown(request, whole=True)

    async def find(self, identifier: str) -> ApprovalRequest:
        """An approval by its id, or by a beginning of it that names one. Raises `UsageError`."""
        exact = await self.parking.approvals.find(identifier)
        if exact is not None:
            return exact
        missing = UsageError(NO_SUCH, hint=_LISTED)
        near = await self.parking.approvals.like(identifier, MOST_NAMED + 1) if can_begin(identifier) else []
        found = await self.parking.approvals.find(the_one(identifier, near, missing))
        if found is None:
            raise missing
        return found

    async def decide(
        self,
        principal: Principal,
        identifier: str,
        verdict: Verdict,
        channel: Channel,
        beside: Beside | None = None,
        *,
        signed: Signed | None = None,
    ) -> ApprovalRequest:
        """Decide an approval; the request as it stands afterwards. `beside` commits with it.

        Raises `Refused` where the principal may not, and `UsageError` where there is nothing (left) to decide.
        """
        request = await self.find(identifier)
        self.require_decider(principal, request, channel)
        if (why := shortfall(request, principal)) is not None:
            raise Refused("policy_denied", why, effect="deny", hint=ADVICE.get(why))
        try:
            await self.parking.decide(request, principal, verdict, channel, beside, signed=signed)
        except SshsigError as error:
            raise Refused("policy_denied", f"{_NO_SIGNATURE}: {error}", effect="deny", hint=_SIGN) from None
        except VotedAlready:
            raise UsageError("You have decided this already.", hint="a person counts once") from None
        except NotPending:
            raise UsageError("This does not wait for a decision any more.", hint=_LISTED) from None
        return await self.find(request.id)

    async def to_sign(self, identifier: str, verdict: Verdict) -> ToSign:
        """What somebody signs to decide an approval. Raises `UsageError`."""
        return ToSign.about(await self.find(identifier), verdict, self.parking.journal.origin)

    async def exhibits(self, identifier: str) -> list[Exhibit]:
        """The signed decisions about an approval, as somebody else can verify them; what was erased is none."""
        request, log = await self.find(identifier), self.parking.journal.origin
        votes = await self.parking.approvals.votes(request.id)
        return [Exhibit.of(request, vote, log) for vote in votes if vote.signature.strip("=")]

    async def decide_signed(
        self, to_sign: ToSign, armored: str, subject: str | None, client: str | None
    ) -> ApprovalRequest:
        """Decide by a signature: it is all that says who decides. `subject` is who that has to be, if anybody.

        Raises what `decide` raises.
        """
        try:
            key, signed = read_signature(to_sign, armored)
        except SshsigError as error:
            raise Refused("policy_denied", f"{_NO_SIGNATURE}: {error}", effect="deny", hint=_SIGN) from None
        owner = self.in_force.current.directory.owner(key)
        if owner is None or subject not in (None, owner):
            raise Refused("policy_denied", f"{_NOT_THEIRS} ({key.fingerprint})", effect="deny", hint=_SIGN)
        who = self.by_key(owner, client)
        return await self.decide(who, to_sign.request.id, to_sign.verdict, "cli", signed=signed)

    def require_decider(self, principal: Principal, request: ApprovalRequest, channel: Channel = "cli") -> None:
        """Raise `Refused` where the principal may not decide this."""
        if (why := self.deciders.objection(principal, request, channel)) is not None:
            raise Refused("policy_denied", why, effect="deny", hint=ADVICE.get(why))
