"""Approvals at rest: rows that change state by compare-and-set, in the same commit as the record that says so."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.model.moves import APPROVAL_MOVES, ApprovalState, check_move
from mcp_guard.model.principal import Principal
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction, Work

Verdict = Literal["approved", "denied"]
Channel = Literal["cli", "mcp", "elicitation"]

MOST_LISTED = 500
"""Approvals a list holds at most. One requester has at most `tasks.MOST_WAITING` waiting."""
ASKS_MORE = "the rule asks for more by now than was agreed to, or for others: ask again"
NOBODY = "nobody approved exactly this, or not as surely as the rule asks by now"
TOO_LATE = "its time was over, or it was not decided"


class NotPending(Exception):
    """The approval was decided, withdrawn or has expired: whoever came first decided."""


class VotedAlready(Exception):
    """This person decided this approval before."""


class NotApproved(Exception):
    """There is no approval for exactly this. Its text says what is missing, of nobody in particular."""

    def __init__(self, why: str = NOBODY) -> None:
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Vote:
    """Somebody's decision. `voted_at` is unix µs; `seal` shows that the guard counted it, for exactly this request.

    `signature` and `salt` are those of `approval.signed`, where it was signed.
    """

    subject: str
    verdict: Verdict
    channel: Channel
    assurance: str
    voted_at: int
    seal: str = ""
    signature: str = ""
    salt: str = ""

    def as_dict(self) -> dict[str, str]:
        """What people are shown of it."""
        names = ("subject", "verdict", "channel", "assurance", *(("signature", "salt") if self.signature else ()))
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, who: Principal, verdict: Verdict, channel: Channel, now: int) -> "Vote":
        return cls(who.subject, verdict, channel, who.assurance, now)


@dataclass(frozen=True, slots=True)
class ApprovalStore:
    """The tables `approval` and `vote`. Reading raises `StoreUnavailable`; what returns `Work` is for others' units."""

    store: Store

    async def find(self, identifier: str) -> ApprovalRequest | None:
        row = await self.store.reader.one("approval_get", {"id": identifier})
        return None if row is None else _request(row)

    async def like(self, prefix: str, limit: int) -> list[str]:
        """The ids of approvals that begin so."""
        rows = await self.store.reader.all("approval_like", {"prefix": prefix, "limit": limit})
        return [str(row[0]) for row in rows]

    async def of_step(self, task: str, step: str) -> ApprovalRequest | None:
        """The newest approval of a step."""
        row = self.store.reader.peek("approval_of_step", {"task": task, "step": step})
        return None if row is None else _request(row)

    async def all(
        self,
        state: ApprovalState | None = None,
        *,
        tenant: str | None = None,
        requester: str | None = None,
        after: int = 0,
        limit: int = MOST_LISTED,
    ) -> list[ApprovalRequest]:
        """Approvals that last beyond `after` (unix µs), oldest first; perhaps only those of one tenant or requester.

        Where there are more, as many of everybody's as there is room for.
        """
        asked: Parameters = {"state": None if state is None else state.value, "tenant": tenant, "requester": requester}
        rows = await self.store.reader.all("approval_list", {**asked, "after": after, "limit": limit})
        return [_request(row) for row in rows]

    async def is_late(self, request: ApprovalRequest, now: int) -> bool:
        """Whether the time of a request is over. Time never goes back: the log's own counts where the clock is behind
        it."""
        row = await self.store.reader.one("log_time")
        return request.expires_at <= max(now, int(str(row[0])) if row is not None else 0)

    async def awaited(self, tasks: Sequence[str]) -> dict[str, ApprovalRequest]:
        """What each of these tasks waits for, where it waits for people."""
        rows = await self.store.reader.all("approval_awaited", {"tasks": json.dumps(tasks)})
        return {request.task: request for request in map(_request, rows)}

    async def votes(self, identifier: str) -> list[Vote]:
        rows = await self.store.reader.all("votes_of", {"approval": identifier})
        return [_vote(row) for row in rows]

    def asking(self, request: ApprovalRequest) -> Work:
        """Insert a request."""
        row: Parameters = {
            "id": request.id,
            "task": request.task,
            "step": request.step,
            "tool": request.tool,
            "binds": request.binds,
            "requester": request.requester,
            "client": request.client,
            "tenant": request.tenant,
            "chain": json.dumps(request.chain),
            "rule": request.rule,
            "reason": request.reason,
            "approvers": json.dumps(request.approvers),
            "not_requester": int(request.not_requester),
            "quorum": request.quorum,
            "created_at": request.created_at,
            "expires_at": request.expires_at,
            "summary": json.dumps(request.summary),
            "call": request.call,
            "escalate_to": json.dumps(request.escalate_to),
            "escalates_at": request.escalates_at,
            "assurance": request.assurance,
        }
        return lambda transaction: _run(transaction, "approval_insert", row)

    def voting(self, request: ApprovalRequest, vote: Vote) -> Work:
        """Count a vote; the one that fills the quorum, or denies, decides. Raises `NotPending`, `VotedAlready`."""
        row: Parameters = {
            "approval": request.id,
            "subject": vote.subject,
            "verdict": vote.verdict,
            "channel": vote.channel,
            "assurance": vote.assurance,
            "voted_at": vote.voted_at,
            "seal": vote.seal,
            "signature": vote.signature,
            "salt": vote.salt,
        }

        def work(transaction: Transaction) -> None:
            if transaction.one("approval_decidable", {"id": request.id, "now": vote.voted_at}) is None:
                raise NotPending
            if transaction.run("vote_insert", row) == 0:
                raise VotedAlready
            if vote.verdict == "denied":
                _move(transaction, request.id, ApprovalState.PENDING, ApprovalState.DENIED)
                return
            counted = transaction.one("vote_count", {"approval": request.id})
            assert counted is not None
            if int(str(counted[0])) >= request.needed:
                _move(transaction, request.id, ApprovalState.PENDING, ApprovalState.APPROVED)

        return work

    def moving(self, identifier: str, before: ApprovalState, after: ApprovalState) -> Work:
        """Change the state of an approval. Raises `NotPending` where it is another by now."""
        check_move(APPROVAL_MOVES, before, after)
        return lambda transaction: _move(transaction, identifier, before, after)

    def escalating(self, identifier: str, now: int, seal: str) -> Work:
        """Say that more people may decide from now on. Raises `NotPending` where it was said, or is not to be."""
        row: Parameters = {"id": identifier, "now": now, "seal": seal}

        def work(transaction: Transaction) -> None:
            if transaction.run("approval_escalate", row) != 1:
                raise NotPending

        return work


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was said about a step: its newest request, who agreed to that, whether it had the requester's confirmation
    or is one, and whether it came to be put to more people."""

    request: ApprovalRequest
    votes: Sequence[Vote]
    confirmed: bool
    escalated: bool


@dataclass(frozen=True, slots=True)
class Checks:
    """What a decision has to stand up to when it is used.

    `bound`: the binding that a request has to have. `counts`: whether a decision about it is one. `escalated`: whether
    the guard put it to more people. `stands`: whether what was agreed to is what is asked for by now, and `within` how
    long (µs) such a question may stand by now.
    """

    bound: Callable[[ApprovalRequest], str]
    counts: Callable[[ApprovalRequest, Vote], bool]
    escalated: Callable[[ApprovalRequest], bool]
    stands: Callable[[Agreed], bool]
    within: int | None = None


def using(task: str, step: str, now: int, checks: Checks, *, further: bool = False) -> Work:
    """Use up the approval of a step in its time, for exactly what it is bound to; one behind which others are to be
    asked only to ask them (`further`). Raises `NotApproved`.

    A step that was begun before and is begun again (after a crash, where that is safe) uses the same one. The row's
    state alone is no approval: `Checks.bound` says what its `binds` has to be, and `counts` which decisions do, so
    whoever can write the store but has no key can neither decide nor change who may.
    """

    def agreed(transaction: Transaction, request: ApprovalRequest) -> list[Vote]:
        votes = [_vote(found) for found in transaction.all("votes_of", {"approval": request.id})]
        found = [vote for vote in votes if vote.verdict == "approved" and checks.counts(request, vote)]
        if request.is_confirmation:
            found = [vote for vote in found if vote.subject == request.requester]
        return found if checks.bound(request) == request.binds and len(found) >= request.needed else []

    def work(transaction: Transaction) -> None:
        rows = [_request(row) for row in transaction.all("approvals_of_step", {"task": task, "step": step})]
        votes = agreed(transaction, rows[0]) if rows else []
        if not votes or bool(rows[0].further) != further:
            raise NotApproved
        request = rows[0]
        confirmed = any(it.is_confirmation and agreed(transaction, it) for it in rows)
        if not checks.stands(Agreed(request, votes, confirmed, checks.escalated(request))):
            raise NotApproved(ASKS_MORE)
        until = request.expires_at if checks.within is None else request.created_at + checks.within
        if transaction.run("approval_use", {"id": request.id, "now": now, "until": until}) != 1:
            raise NotApproved(ASKS_MORE if until < request.expires_at else TOO_LATE)

    return work


def approved(transaction: Transaction, identifier: str) -> bool:
    """Whether an approval is agreed to and waits for being used."""
    row = transaction.one("approval_get", {"id": identifier})
    return row is not None and _request(row).state is ApprovalState.APPROVED


def _move(transaction: Transaction, identifier: str, before: ApprovalState, after: ApprovalState) -> None:
    if transaction.run("approval_move", {"id": identifier, "before": before.value, "after": after.value}) != 1:
        raise NotPending


def _run(transaction: Transaction, name: str, row: Parameters) -> None:
    transaction.run(name, row)


def _texts(value: object) -> tuple[str, ...]:
    found: Sequence[str] = json.loads(str(value))
    return tuple(found)


def _vote(row: Row) -> Vote:
    return Vote(*row)  # type: ignore[arg-type]  # the table is STRICT: the types are as declared


def _request(row: Row) -> ApprovalRequest:
    identifier, task, step, tool, binds, requester, client, tenant = map(str, row[:8])
    chain, rule, reason, approvers, not_requester, quorum, created_at, expires_at, summary, state, call = row[8:19]
    escalate_to, escalates_at, escalated_at, escalation_seal, assurance = row[19:]
    return ApprovalRequest(
        id=identifier,
        task=task,
        step=step,
        tool=tool,
        binds=binds,
        requester=requester,
        client=client,
        tenant=tenant,
        chain=_texts(chain),
        rule=str(rule),
        reason=str(reason),
        approvers=_texts(approvers),
        not_requester=bool(not_requester),
        quorum=int(str(quorum)),
        created_at=int(str(created_at)),
        expires_at=int(str(expires_at)),
        summary=_texts(summary),
        state=ApprovalState(str(state)),
        call=str(call),
        escalate_to=_texts(escalate_to),
        escalates_at=None if escalates_at is None else int(str(escalates_at)),
        escalated_at=None if escalated_at is None else int(str(escalated_at)),
        escalation_seal=str(escalation_seal),
        assurance=str(assurance),
    )
