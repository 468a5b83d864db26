"""Finds the grant under which a call goes ahead that would wait for people otherwise, and counts its use."""

from dataclasses import dataclass

from mcp_guard.approval.grant_store import GrantStore, Leave
from mcp_guard.approval.grants import Grant, Likeness
from mcp_guard.deciding import Deciders
from mcp_guard.kit.clock import Clock
from mcp_guard.parking import Parking, Wish
from mcp_guard.store.transaction import Work, together


@dataclass(frozen=True, slots=True)
class Granting:
    """What the pipeline asks about grants. Every method raises `StoreUnavailable`."""

    grants: GrantStore
    parking: Parking
    deciders: Deciders
    clock: Clock

    async def covering(self, wish: Wish) -> Leave | None:
        """The oldest grant that admits a call and is good for one more."""
        like = Likeness.of(wish.principal, wish.tool.name, wish.tool.fingerprint, wish.decision)
        if like is None or wish.tool.becomes_task:
            return None
        found = await self.grants.all(tool=like.tool, subject=like.subject, after=self.clock.now_us())
        for kept in found:
            grant = kept.grant
            if kept.revoked or kept.used >= grant.uses or not grant.admits(like, wish.arguments):
                continue
            said = await self.grants.on_record(grant)
            if said.created and not said.revoked and said.uses < grant.uses and await self.stands(grant):
                return Leave(grant, said)
        return None

    def using(self, leave: Leave, wish: Wish, *, is_step: bool) -> Work:
        """Use a grant for a call. Raises `NotGranted`, and `Alike` where the same call waits or is carried out already:
        who asks again for what they asked for is told of it, and does not have it done twice."""
        use = self.grants.using(leave, wish.call, self.clock.now_us())
        return use if is_step else together(self.parking.apart(wish), use)

    async def stands(self, grant: Grant) -> bool:
        """Whether whoever gave it decided as the rows say, and could decide so now."""
        by = self.deciders.in_force.current.as_of_now(grant.by)
        request = await self.parking.approvals.find(grant.approval)
        if by is None or request is None or self.deciders.objection(by, request) is not None:
            return False
        votes = await self.parking.approvals.votes(grant.approval)
        return any(
            vote.subject == by.subject and vote.verdict == "approved" and self.parking.counts("", request, vote)
            for vote in votes
        )
