"""What waits for people: a call is parked, decided, expires or is withdrawn, each in one commit with its record.

A parked call is rows and nothing else: no coroutine, no thread, no open request.
"""

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from mcp_guard.approval.outbox import Outbox
from mcp_guard.approval.request import RULE_STEP, ApprovalRequest, binding, binding_of_question, due
from mcp_guard.approval.rules import is_hasty, stands
from mcp_guard.approval.signed import Signed, as_record, check_signed
from mcp_guard.approval.store import ApprovalStore, Channel, Checks, Verdict, Vote, approved, using
from mcp_guard.approval.summary import summary
from mcp_guard.audit.journal import Journal
from mcp_guard.kit import strict_json
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.call import whom
from mcp_guard.model.decision import DEFAULT_EXPIRES_S, AskedNow, Decision, Obligations
from mcp_guard.model.moves import ApprovalEvent, ApprovalState, StepState, TaskStatus
from mcp_guard.model.principal import Principal, is_assured
from mcp_guard.model.sshsig import SshKey, SshsigError
from mcp_guard.model.tool import CallStep, Tool, WorkflowSpec
from mcp_guard.model.trace import Trace
from mcp_guard.secrets.vault import SealBroken, Vault
from mcp_guard.store.transaction import Transaction, Work, together
from mcp_guard.tasks.carried import ApprovalWait, Carried
from mcp_guard.tasks.engine import Alike, Engine, Moved, NewTask
from mcp_guard.tasks.on_record import StepRecords
from mcp_guard.tasks.plan import CALL
from mcp_guard.tasks.task import Content, Step, Task, step_of

AGREED = "agreed to, about to be carried on"
WITHDRAWN = "withdrawn by whoever asked"
WITHDRAWN_FOR_THEM = "withdrawn by somebody other than whoever asked"


def new_id() -> str:
    """128 random bits: neither a task nor an approval can be guessed."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Wish:
    """A call policy wants approved, as far as the pipeline carried it. `arguments` are bound."""

    principal: Principal
    call: str
    tool: Tool
    arguments: Mapping[str, object]
    justification: str | None
    trace: Trace | None
    decision: Decision


class Beside(NamedTuple):
    """What commits with a decision besides: rows, and what its record says of them."""

    work: Work
    said: Mapping[str, object]


class Beginning(NamedTuple):
    """A task about to be made: its id, what its record says, and its rows."""

    task: str
    said: Mapping[str, object]
    work: Work


@dataclass(frozen=True, slots=True)
class Parked:
    """What the requester is told: the task to ask about, and who is asked by when (unix µs)."""

    task: str
    approval: str
    approvers: tuple[str, ...]
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Start:
    """How a task begins."""

    status: TaskStatus
    message: str
    wake_at: int
    step: Step | None = None
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class Parking:
    """The rows of tasks and approvals, moved together. Every method raises `StoreUnavailable`.

    `recorded` is what the log says of steps. `keys` gives the public keys by which somebody's signature is known now;
    it is asked on the writer's thread too. `outbox` is where messages to receivers elsewhere wait, if there are any.
    """

    tasks: Engine
    approvals: ApprovalStore
    journal: Journal
    vault: Callable[[], Vault]
    clock: Clock
    keys: Callable[[str], Collection[SshKey]]
    recorded: StepRecords
    outbox: Outbox | None = None

    async def park(self, wish: Wish) -> Parked:
        """Have a call wait for people. The same call of the same requester waits once.

        Raises `TooManyWaiting`.
        """
        request, new = self._asked(wish)
        asked, began = self.approvals.asking(request), self.tasks.beginning(new)
        try:
            await self._record(wish.principal, request, "requested", together(began, asked))
        except Alike as alike:
            known = await self.approvals.of_step(alike.task, CALL)
            assert known is not None, "a call that waits has its approval"
            return Parked(alike.task, known.id, self.asked_of(known), known.expires_at)
        failpoint("tasks.parked")
        return Parked(new.id, request.id, request.approvers, request.expires_at)

    def beginning(self, wish: Wish) -> Beginning:
        """What makes the task of a call that may begin at once: this process works on it from then on. A workflow goes
        by its plan; anything else is one step. The rows raise `Alike` where the same call of the same requester has not
        ended, and `TooManyWaiting`.
        """
        task, now = new_id(), self.clock.now_us()
        step = None if isinstance(wish.tool.connector, WorkflowSpec) else Step(CALL, StepState.PENDING)
        new = self._new(wish, task, _Start(TaskStatus.WORKING, "begun", now, step, claimed=True), now)
        said = {"what": "begun", "task": task, "call": wish.call, "tool": wish.tool.name}
        return Beginning(task, said, self.tasks.beginning(new))

    async def park_step(self, wish: Wish, carried: Carried) -> Parked:
        """Have a step of a task wait for people."""
        request = self._request(wish, carried.task, carried.step, carried.deadline)
        await self.ask(
            request, wish.principal, carried.wait(wish.arguments, ApprovalWait(request.approvers, request.moves_at))
        )
        return Parked(carried.task, request.id, request.approvers, request.expires_at)

    async def ask(self, request: ApprovalRequest, requester: Principal, waiting: Work) -> None:
        """Put a question to people, in one commit with the rows of whatever waits for it."""
        await self._record(requester, request, "requested", together(self.approvals.asking(request), waiting))
        failpoint("tasks.parked")

    async def asked(self, request: ApprovalRequest, *, whole: bool) -> Mapping[str, object] | None:
        """The bound values that wait for a decision; none of a step that does not wait any more. `None` where the
        request is not as the guard wrote it: whoever did names in it who may see what, and is shown nothing by it.

        Of a workflow's own question without what is sensitive, unless `whole`; what a call has is the caller's to mask.
        """
        task = await self.tasks.find(request.task)
        if task is None or task.is_erased:
            return {}
        try:
            return await self._asked_of(request, task, whole)
        except SealBroken:
            return None

    async def _asked_of(self, request: ApprovalRequest, task: Task, whole: bool) -> Mapping[str, object] | None:
        content = self.content(task)
        if request.step == CALL:
            return content.arguments if self._is_about(request, task, content, content.arguments) else None
        rows = await self.tasks.steps(task.id)
        row = next((it for it in rows if it.id == request.step and it.state is StepState.WAITING), None)
        if row is None or row.result is None:
            return {}
        found = self.opened(task.id, row)
        values, shown = (found["whole"], found["shown"]) if request.rule == RULE_STEP else (found, found)
        assert isinstance(values, Mapping)
        assert isinstance(shown, Mapping)
        if not self._is_about(request, task, content, values):
            return None
        return values if whole else shown

    def _is_about(self, request: ApprovalRequest, task: Task, content: Content, values: Mapping[str, object]) -> bool:
        """Whether the guard put exactly this question, about these values."""
        step, who = step_of(task, content, request.step), content.principal
        if isinstance(step, CallStep):
            about = binding(step.tool, step.fingerprint, who, values, request.rule)
        else:
            about = binding_of_question(task.tool, content.fingerprint, who, step, values)
        return self.bound(request, about) == request.binds

    def sealed(self, task: str, step: str, value: Mapping[str, object]) -> bytes:
        """What a step's row keeps: the values it waits with, then its result."""
        return self.vault().seal(strict_json.dumps(dict(value)), f"{task}/step/{step}")

    def opened(self, task: str, step: Step) -> Mapping[str, object]:
        """What `sealed` closed. Raises `SealBroken`."""
        assert step.result is not None
        found = strict_json.loads(self.vault().open(step.result, f"{task}/step/{step.id}"))
        assert isinstance(found, dict)
        return found

    async def decide(
        self,
        request: ApprovalRequest,
        who: Principal,
        verdict: Verdict,
        channel: Channel,
        beside: Beside | None = None,
        *,
        signed: Signed | None = None,
    ) -> None:
        """Count the decision of somebody who may decide (`approval.rules`): a denial ends the task, an approval wakes
        it.

        Raises `NotPending`, `VotedAlready`, and `SshsigError` where it is said to be signed and is not.
        """
        now = self.clock.now_us()
        cast = Vote.of(who, verdict, channel, now)
        if signed is not None:
            cast = replace(cast, signature=signed.signature, salt=signed.salt)
        said: dict[str, object] = {"channel": channel, "ms": max(0, now - request.created_at) // 1000}
        if cast.assurance == "signed":
            key = check_signed(request, cast, self.journal.origin, self.keys(who.subject))
            said["signed"] = as_record(request, cast, self.journal.origin, key)
        vote = self.approvals.voting(request, replace(cast, seal=self.vote_seal(request, cast)))
        if is_hasty(request, now):
            said["hasty"] = 1
        if verdict == "denied":
            then = self._ending(request, TaskStatus.FAILED, "approval_denied", "somebody decided against it", now)
        else:
            then = self._agreeing(request, now)
        if beside is not None:
            then, said = together(then, beside.work), {**said, **beside.said}
        await self._record(who, request, verdict, together(vote, then), **said)
        failpoint("approvals.decided")

    def _agreeing(self, request: ApprovalRequest, now: int) -> Work:
        """Wake what a request is about; once as many have agreed as are needed it waits for nobody any more."""
        waiting, waits = self.tasks.waking(request.task, now), TaskStatus.INPUT_REQUIRED
        agreed = self.tasks.moving(request.task, waits, waits, message=AGREED, now=now, wake_at=now)

        def work(transaction: Transaction) -> None:
            if approved(transaction, request.id):
                with suppress(Moved):  # rows that say otherwise are not the guard's: whoever carries it on finds out
                    agreed(transaction)
            waiting(transaction)

        return work

    async def revoke(self, request: ApprovalRequest, who: Principal, channel: Channel, beside: Beside) -> None:
        """Take back what was granted with a decision. Raises what the rows raise."""
        about = _about(request, "revoked") | {"channel": channel, **beside.said}
        await self.journal.approval(who, about, beside.work)

    async def expire(self, request: ApprovalRequest, requester: Principal) -> None:
        """End a task nobody decided about in time. Raises `NotPending` where somebody did."""
        now = self.clock.now_us()
        moved = self.approvals.moving(request.id, request.state, ApprovalState.EXPIRED)
        ended = self._ending(request, TaskStatus.FAILED, "approval_expired", "nobody decided in time", now)
        await self._record(requester, request, "expired", together(moved, ended))

    async def escalate(self, request: ApprovalRequest, requester: Principal) -> None:
        """Have more people asked about what nobody decided so far. Raises `NotPending` where somebody was quicker."""
        now = self.clock.now_us()
        widened = self.approvals.escalating(request.id, now, self._escalation_seal(request, now))
        waits = self.tasks.moving(
            request.task,
            TaskStatus.INPUT_REQUIRED,
            TaskStatus.INPUT_REQUIRED,
            message=waiting_for(request.step, request.asked(escalated=True)),
            now=now,
            wake_at=request.expires_at,
        )
        to = list(request.escalate_to)
        await self._record(requester, request, "escalated", together(widened, waits), to=to)

    def is_escalated(self, request: ApprovalRequest) -> bool:
        """Whether the guard said so, at the time it was to be: no row says it that was written without the key."""
        at, wanted = request.escalated_at, request.escalates_at
        if at is None or wanted is None or at < wanted:
            return False
        return request.escalation_seal == self._escalation_seal(request, at)

    def asked_of(self, request: ApprovalRequest) -> tuple[str, ...]:
        """Who may decide now, by role or name."""
        return request.asked(escalated=self.is_escalated(request))

    async def withdraw(self, request: ApprovalRequest, by: Principal, why: str = WITHDRAWN) -> None:
        """End a task that waits, at the wish of its requester or of whoever may speak for them. Raises `NotPending`
        where it was decided."""
        now = self.clock.now_us()
        moved = self.approvals.moving(request.id, request.state, ApprovalState.WITHDRAWN)
        ended = self._ending(request, TaskStatus.CANCELLED, "cancelled", why, now)
        await self._record(by, request, "withdrawn", together(moved, ended))

    def content(self, task: Task) -> Content:
        """What a task executes from. Raises `SealBroken`."""
        return Content.of_bytes(self.vault().open(task.sealed, task.id))

    def bound(self, request: ApprovalRequest, about: str) -> str:
        """The binding hash of a request, over its terms and what it is about. Keyed: it stands in records, which are
        for ever and name no argument, and without the key nobody can try guesses."""
        return self.vault().digest(strict_json.dumps(["bound", request.terms(), about]))

    def vote_seal(self, request: ApprovalRequest, vote: Vote) -> str:
        """What shows that the guard counted a decision about exactly this request."""
        said: list[object] = [vote.subject, vote.verdict, vote.channel, vote.assurance, vote.voted_at]
        if vote.signature:
            said += [vote.signature, vote.salt]
        return self.vault().digest(strict_json.dumps(["vote", request.terms(), request.binds, said]))

    async def _record(
        self, actor: Principal, request: ApprovalRequest, verdict: ApprovalEvent, work: Work, **more: object
    ) -> None:
        """Put on record what became of a request, in one commit with its rows and with what others are told of it."""
        told = None if self.outbox is None else self.outbox.noting(verdict, request, self.clock.now_us())
        await self.journal.approval(actor, _about(request, verdict) | more, together(work, told))

    def _escalation_seal(self, request: ApprovalRequest, at: int) -> str:
        return self.vault().digest(strict_json.dumps(["escalated", request.terms(), request.binds, at]))

    def counts(self, wanted: str, request: ApprovalRequest, vote: Vote) -> bool:
        """Whether a decision counts now: the guard sealed it, whoever made it was known as surely as the request and
        policy (`wanted`) ask, and where that was by a signature, it still is one by a key of theirs."""
        assured = is_assured(vote.assurance, request.assurance) and is_assured(vote.assurance, wanted)
        if vote.seal != self.vote_seal(request, vote) or not assured:
            return False
        if vote.assurance == "signed":
            try:
                check_signed(request, vote, self.journal.origin, self.keys(vote.subject))
            except SshsigError:
                return False
        return True

    def using(self, task: str, step: str, about: str, wanted: AskedNow | None = None) -> Work:
        """Use up the approval of a step for what it is about. `wanted` is what policy asks for now, whatever it asked
        for when it began to wait. Raises `NotApproved`."""
        return using(task, step, self.clock.now_us(), self._checks(about, wanted))

    def _checks(self, about: str, wanted: AskedNow | None = None) -> Checks:
        """What decisions about a step have to stand up to."""
        then = Obligations() if wanted is None else wanted.then
        return Checks(
            bound=lambda request: self.bound(request, about),
            counts=partial(self.counts, then.assurance or ""),
            escalated=self.is_escalated,
            stands=partial(stands, wanted),
            within=None if then.expires is None else then.expires * 1_000_000,
        )

    def apart(self, wish: Wish) -> Work:
        """Change nothing. Raises `Alike` where the same call of the same requester waits or is carried out already."""
        return self.tasks.apart(self._alike(wish))

    async def ask_further(self, request: ApprovalRequest, requester: Principal, about: str, task: Task) -> None:
        """Ask the people behind a confirmation that was given, in one commit with using it up.

        Raises `NotApproved` where it was not given for `about`, and `Moved`.
        """
        asked = request.passed_on(new_id(), self.clock.now_us())
        asked = replace(asked, binds=self.bound(asked, about))
        used = using(request.task, request.step, self.clock.now_us(), self._checks(about), further=True)
        moved = self.tasks.moving(
            task.id,
            task.status,
            TaskStatus.INPUT_REQUIRED,
            message=waiting_for(asked.step, asked.approvers),
            now=asked.created_at,
            wake_at=asked.moves_at,
        )
        work = together(used, self.approvals.asking(asked), moved)  # in this order: what is used is the newest
        await self._record(requester, asked, "requested", work)
        failpoint("approvals.passed-on")

    def _asked(self, wish: Wish) -> tuple[ApprovalRequest, NewTask]:
        task = new_id()
        request = self._request(wish, task, CALL, None)
        message = waiting_for(CALL, request.approvers)
        start = _Start(TaskStatus.INPUT_REQUIRED, message, request.moves_at, Step(CALL, StepState.WAITING))
        new = self._new(wish, task, start, request.created_at)
        return request, new

    def _alike(self, wish: Wish) -> str:
        return self.vault().digest(binding_of(wish).encode())

    def _new(self, wish: Wish, task: str, start: _Start, now: int) -> NewTask:
        who, tool, vault = wish.principal, wish.tool, self.vault()
        plan = tool.connector if isinstance(tool.connector, WorkflowSpec) else None
        hide, why, trace = wish.decision.then.redact, wish.justification, wish.trace
        content = Content(who, wish.arguments, tool.fingerprint, why, trace, plan, wish.call, now, hide)
        return NewTask(
            id=task,
            tool=tool.name,
            status=start.status,
            subject=who.subject,
            client=who.client,
            tenant=who.tenant,
            alike=self._alike(wish),
            sealed=vault.seal(content.as_bytes(), task),
            message=start.message,
            now=now,
            wake_at=start.wake_at,
            step=start.step,
            claimed=start.claimed,
        )

    def _request(self, wish: Wish, task: str, step: str, deadline: int | None) -> ApprovalRequest:
        who, tool, decision, now = wish.principal, wish.tool, wish.decision, self.clock.now_us()
        then = decision.then
        expires_at = now + (then.expires or DEFAULT_EXPIRES_S) * 1_000_000
        expires_at = expires_at if deadline is None else min(expires_at, deadline)
        escalate_to, escalates_at = due(then.escalate, now, expires_at)
        asked = ApprovalRequest(
            id=new_id(),
            task=task,
            step=step,
            tool=tool.name,
            binds="",
            requester=who.subject,
            client=who.client,
            tenant=who.tenant,
            chain=who.chain,
            rule=decision.rule,
            reason=decision.reason,
            approvers=then.asked,
            not_requester=then.not_requester,
            quorum=then.quorum or 1,
            created_at=now,
            expires_at=expires_at,
            summary=tuple(_summary(tool, wish.arguments)),
            call=wish.call,
            escalate_to=escalate_to,
            escalates_at=escalates_at,
            assurance=then.assurance or "",
        )
        return replace(asked, binds=self.bound(asked, binding_of(wish)))

    def _ending(self, request: ApprovalRequest, status: TaskStatus, code: str, why: str, now: int) -> Work:
        """End what a request was about, which was never begun: the task, or the step of one that has done others."""
        told = {"guard": {"code": code, "reason": why, "executed": "no", "retry": "never"}}
        sealed: bytes | None = self.vault().seal(
            strict_json.dumps({"structured": told, "is_error": True}), f"{request.task}/result"
        )
        step = self.tasks.stepping(
            request.task, StepState.WAITING, Step(request.step, StepState.FAILED, code=code), now
        )
        if request.step != CALL:
            status, sealed = TaskStatus.WORKING, None
        moved = self.tasks.moving(
            request.task,
            TaskStatus.INPUT_REQUIRED,
            status,
            message=why,
            now=now,
            wake_at=now if status is TaskStatus.WORKING else None,
            result=sealed,
        )
        return together(step, moved)


def waiting_for(step: str, approvers: tuple[str, ...]) -> str:
    """What is said of a task that waits at a step."""
    return f"{'' if step == CALL else f'{step}: '}waiting for {whom(approvers)}"


def binding_of(wish: Wish) -> str:
    """What a wish is for, and for nothing else."""
    tool = wish.tool
    return binding(tool.name, tool.fingerprint, wish.principal, wish.arguments, wish.decision.rule)


def _summary(tool: Tool, arguments: Mapping[str, object]) -> list[str]:
    declared = tool.input_schema.get("properties")
    names = declared if isinstance(declared, Mapping) else ()
    return summary(tool.name, tool.title, arguments, tool.sensitive, names)


def _about(request: ApprovalRequest, verdict: str) -> dict[str, object]:
    return {
        "call": request.call,
        "task": request.task,
        "step": request.step,
        "approval": request.id,
        "verdict": verdict,
        "binds": request.binds,
        "tool": request.tool,
    }
