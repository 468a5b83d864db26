"""One call, in one order. This page is the product; read `_govern` from top to bottom.

    identity      who is acting comes in as a `Principal`; nothing here believes a name in a message
    catalog       the tool (or resource, or prompt), if policy lets the caller see it: hidden and unknown look alike
    validate      strict arguments against the tool's schema, bound values filled in
    policy        what an operator stopped, scopes, then allow | require_approval | deny, with the rule and its reason;
                  at a tool in observe mode it is recorded as what would have been, and only an operator stops the call
    connection    where the upstream has accounts of people, the caller has one
    approval      when the decision asks for people the call is parked as a task and answered at once; once they agreed
                  it comes back here as a step of that task, from what was journaled, and policy is asked again; or it
                  goes ahead under a grant of theirs, which its intent names and uses
    workflow      and a long-running tool are made a task and answered; each step that calls a tool comes here as a
                  call of its own
    limits        rate, quota, budget, concurrency and repetitions: reserved before the act, in one commit with the
                  intent, so that as many calls get through as a limit says; settled with the outcome
    audit intent  durable before the act (`effects: none` needs none: it has nothing to repeat)
    invoke        the connector, with timeout, retries and one idempotency key
    shape         redaction, hidden characters, output schema, size: of what is too large for an answer the beginning
    audit outcome durable before the answer
    answer        the result or a refusal, with a receipt; a dry run ends after policy with the decision itself

Whichever stage ends a call, exactly one outcome is recorded, and it says as much as was true by then.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from mcp_guard.answering import Answering
from mcp_guard.approval.grants import NotGranted
from mcp_guard.approval.store import NotApproved, NotPending
from mcp_guard.audit import listings
from mcp_guard.audit.facts import Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.content import blocks_of
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.shape import Shaped, shape
from mcp_guard.connect.tokens import TokenSource
from mcp_guard.generation import InForce, is_shown
from mcp_guard.granting import Granting
from mcp_guard.identity.binding import bound
from mcp_guard.identity.revoked import Revocations
from mcp_guard.keeping import Keeping
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.limiting import Limiting
from mcp_guard.limits.freeze import Freezes
from mcp_guard.limits.limits import Limits
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.seen import Seen
from mcp_guard.manifest.catalog import Entry
from mcp_guard.model.back_channel import NOBODY, BackChannel
from mcp_guard.model.call import FAILURES, Answer, Invocation, ToolCall
from mcp_guard.model.codes import Executed
from mcp_guard.model.decision import (
    NO_SUCH_TOOL,
    OPERATORS,
    RULE_DEFAULT,
    Decision,
    Effect,
    scope_decision,
)
from mcp_guard.model.disclosure import Disclosure, denial
from mcp_guard.model.errors import Refused, StoreUnavailable, UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import TOOLS, Primitive, Tool, WorkflowSpec
from mcp_guard.parking import Parking, Wish
from mcp_guard.store.errors import InDoubt
from mcp_guard.store.transaction import Work, joined, together
from mcp_guard.store.values import Stored
from mcp_guard.tasks.carried import Carried, Ended
from mcp_guard.tasks.engine import Alike, Moved, TooManyWaiting
from mcp_guard.telemetry.context import enter_call
from mcp_guard.trail import Trail

_log = logging.getLogger("mcp_guard.pipeline")

TOO_MANY = "too many calls of yours wait or are carried out already"
DRY_RUN_FORM = "_meta mcp-guard/dry_run is true or absent; nothing else says what is wanted"


def new_call_id() -> str:
    """128 random bits: a call id cannot be guessed."""
    return os.urandom(16).hex()


class Pipeline:
    """Carries out governed calls. One instance serves all clients of a process."""

    def __init__(
        self,
        *,
        in_force: InForce,
        freezes: Freezes,
        revocations: Revocations,
        seen: Seen,
        parking: Parking,
        granting: Granting,
        limits: Limits,
        keeping: Keeping,
        tokens: TokenSource,
        journal: Journal,
        refusals: Disclosure,
        redact: Callable[[object], object],
        clock: Clock,
    ) -> None:
        self._in_force = in_force
        self._freezes = freezes
        self._revocations = revocations
        self._seen = seen
        self._parking = parking
        self._granting = granting
        self._tokens = tokens
        self._journal = journal
        self._answers = Answering(journal, refusals)
        self._limiting = Limiting(limits, refusals)
        self._keeping = keeping
        self._redact = redact
        self._clock = clock
        self._running: set[asyncio.Task[Answer]] = set()
        self._stopping = False

    def visible_tools(self, principal: Principal) -> Sequence[Tool]:
        """The tools policy lets `principal` see, by name: exactly those that `call` does not answer as unknown."""
        under = self._in_force.current
        return under.visible(principal, self._now(), under.seen_by(principal, self._seen))

    async def list_tools(
        self, principal: Principal, own: Sequence[str] = (), of: Collection[Primitive] = TOOLS
    ) -> Sequence[Tool]:
        """`visible_tools`, on record with what was withheld and the guard's `own` tools that are shown beside them; or
        what else of some kinds `principal` sees.

        Raises `StoreUnavailable` where it cannot be recorded.
        """
        under = self._in_force.current
        listing = under.listing(principal, self._now(), under.seen_by(principal, self._seen), of)
        shown = [tool for tool, decision in listing if is_shown(tool, decision)]
        await self._journal.listed(principal, listings.state_of(listing, shown, own, of))
        return shown

    async def call(
        self, principal: Principal, call: ToolCall, carried: Carried | None = None, back: BackChannel = NOBODY
    ) -> Answer:
        """Carry out one call, or one step of a task, and return its answer, refusals included; `back` hears of it
        meanwhile.

        Raises `UnknownTool` for a tool that is not there or not for this principal. A client that goes away does not
        stop a call: an act that was begun is finished within its timeout and its outcome is recorded.
        """
        task = asyncio.create_task(self._govern(principal, call, carried, back))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Return once every call that is running now has ended."""
        if running := tuple(self._running):
            await asyncio.wait(running)

    async def drain(self, seconds: float) -> None:
        """Let calls in flight finish; what is left after `seconds` is cancelled and recorded as such."""
        self._stopping = True
        end = self._clock.monotonic() + seconds
        while self._running and (left := end - self._clock.monotonic()) > 0:
            await asyncio.wait(self._running, timeout=left)
        while late := tuple(self._running):
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _govern(self, principal: Principal, call: ToolCall, carried: Carried | None, back: BackChannel) -> Answer:
        trail = Trail(self._in_force.current, principal, call, self._clock.monotonic(), carried=carried, back=back)
        shaped: Shaped | None = None
        enter_call(call.id, call.trace.id if call.trace else None)
        try:
            entry = self._find(trail)
            arguments = self._validate(trail, entry)
            decision = self._decide_call(trail, entry.tool, arguments)
            if call.dry_run == "no":
                self._authorize(trail, decision)
                await self._require_connection(trail, entry.tool)
                self._limiting.prepare(trail, entry.tool, arguments, decision)
                wish = _wish(trail, entry.tool, arguments, decision)
                if trail.waits_for_people(decision):
                    trail.leave = await self._granting.covering(wish)
                    if trail.leave is None:
                        return await self._park(trail, wish)
                elif carried is None and entry.tool.becomes_task:
                    return await self._begin(trail, wish)
                if not await self._record_intent(trail, wish):
                    return await self._park(trail, wish)
                value = await self._invoke(trail, entry.tool, arguments)
                shaped = await self._keeping.fitting(trail, entry.tool, self._shape(trail, entry, decision, value))
            else:
                await self._limiting.rehearse(trail, entry.tool, arguments, decision)
        except UnknownTool:
            return await self._hide(trail)
        except Refused as refusal:
            return await self._refuse(trail, refusal)
        except Reached as reached:
            return await self._refuse(trail, self._limiting.refused(trail, reached))
        except StoreUnavailable as error:
            return await self._refuse(trail, Refused("audit_unavailable", error.message))
        except asyncio.CancelledError:
            why = "the server is stopping" if self._stopping else "the call was cancelled"
            return await self._refuse(trail, Refused("cancelled", why, executed=trail.executed))
        except (Exception, KeyboardInterrupt, SystemExit):  # noqa: BLE001 - whatever a stage forgot, the call still ends in one outcome
            _log.exception("call failed")
            return await self._refuse(trail, Refused("internal", "an internal error", executed=trail.executed))
        return await (self._tell(trail, decision) if shaped is None else self._answer(trail, shaped))

    # --- the stages, in order ---------------------------------------------------------------------------------------

    def _find(self, trail: Trail) -> Entry:
        under = trail.under
        # Before the catalog is asked: a store that fails must not tell a hidden tool from an unknown one.
        trail.seen = under.seen_by(trail.principal, self._seen)
        entry = under.catalog.get(trail.call.tool)
        if entry is not None and trail.carried is None and entry.tool.method != trail.call.method:
            entry = None  # by the name of something else there is nothing
        trail.asked = under.question(trail.principal, "list", trail.call.tool, self._now(), seen=trail.seen)
        if entry is None:
            trail.decision = Decision(Effect.DENY, RULE_DEFAULT, NO_SUCH_TOOL, under.policy.version)
            raise UnknownTool()
        listing = under.policy.decide(trail.asked)
        if not listing.allowed:
            trail.decision = listing
        if not is_shown(entry.tool, listing):
            raise UnknownTool()
        trail.entry = entry
        return entry

    def _validate(self, trail: Trail, entry: Entry) -> Mapping[str, object]:
        carried, trail.arguments = trail.carried, trail.call.arguments
        if carried is not None and entry.tool.fingerprint != carried.fingerprint:
            raise Refused("approval_mismatch", "the tool is not what it was when this was asked for")
        if carried is not None and carried.arguments is not None:
            trail.arguments, trail.justification = carried.arguments, carried.justification
            return trail.arguments
        if trail.call.dry_run == "malformed":
            raise Refused("args_invalid", DRY_RUN_FORM)
        completes, arguments = trail.call.completes, trail.call.arguments
        violations = (
            entry.check_begun(arguments, completes) if completes is not None else entry.check_arguments(arguments)
        )
        if violations:
            raise Refused("args_invalid", "; ".join(str(violation) for violation in violations))
        given, trail.justification = entry.split(arguments)
        trail.arguments = given | bound(entry.tool.bind, trail.principal)
        return trail.arguments

    def _decide_call(self, trail: Trail, tool: Tool, arguments: Mapping[str, object]) -> Decision:
        under, principal = trail.under, trail.principal
        version = under.policy.version
        stopped = self._freezes.decision(principal, tool.name, version)
        if stopped is None and trail.carried is not None:  # who calls now has shown a token that is good now
            stopped = self._revocations.decision(principal, version)
        if trail.decision is not None:  # in observe mode only: obeyed, the list would have ended the call
            trail.decision = stopped or trail.decision
            return trail.decision
        spent = self._limiting.spent(trail)
        trail.asked = under.question(principal, "call", tool.name, self._now(), arguments, seen=trail.seen, spent=spent)
        trail.decision = stopped or scope_decision(tool.scopes, principal, version) or under.policy.decide(trail.asked)
        return trail.decision

    def _authorize(self, trail: Trail, decision: Decision) -> None:
        """Refuse what is denied. What people approved stands while the same rule still asks for it, or none does."""
        if trail.would is not None:
            return
        approved = trail.carried.approved if trail.carried else None
        stands = decision.effect is Effect.ALLOW or decision.rule == approved or decision.rule in OPERATORS
        if approved is not None and not stands:
            reason = f"policy is not what it was when this was approved: {decision.reason}"
            effect: Literal["deny", "require_approval"] = (
                "deny" if decision.effect is Effect.DENY else "require_approval"
            )
            raise Refused("approval_mismatch", reason, rule=decision.rule, effect=effect)
        if decision.effect is Effect.DENY or (trail.call.completes is not None and not decision.allowed):
            raise denial(decision, "why")

    async def _require_connection(self, trail: Trail, tool: Tool) -> None:
        """Before people are asked to approve what cannot be done."""
        for account in trail.under.accounts(trail.principal, tool, self._now(), trail.seen):
            await self._tokens.require(trail.principal, account)

    async def _park(self, trail: Trail, wish: Wish) -> Answer:
        """Have the call wait for people; what is answered now is whom it waits for."""
        decision = wish.decision
        try:
            carried = trail.carried
            parked = await (self._parking.park_step(wish, carried) if carried else self._parking.park(wish))
        except TooManyWaiting:
            raise Refused("rate_limited", TOO_MANY, rule=decision.rule, effect="require_approval") from None
        except NotPending:
            raise Refused("approval_mismatch", "the step was moved on meanwhile") from None
        except Moved:
            raise Refused("cancelled", "the step was moved on meanwhile") from None
        trail.task = parked.task
        ending = Ending("refused", "no", self._elapsed_us(trail), code="approval_pending")
        try:
            stored = await self._end(trail, ending)
        except StoreUnavailable as error:
            return self._answers.refusal(trail, Refused("audit_unavailable", error.message), None)
        return self._answers.pending(trail, decision, parked, stored)

    async def _begin(self, trail: Trail, wish: Wish) -> Answer:
        """Have a workflow or a long-running tool begin as a task, in one commit with the outcome of the call; what
        becomes of it is told by the task. The same call that has not ended is not begun again."""
        begun = self._parking.beginning(wish)
        # Of a workflow this is the use; a step that is one call reserves when it is carried out.
        uses = isinstance(wish.tool.connector, WorkflowSpec)
        reserving = self._limiting.reserving(trail, wish.tool) if uses else None
        ending, settling = self._limiting.settling(trail, Ending("ok", "yes", self._elapsed_us(trail)))
        facts, work = replace(trail.facts(), task=begun.task), together(begun.work, reserving, settling)
        try:
            stored = await self._journal.begun(facts, ending, begun.said, work)
            trail.task = begun.task
            failpoint("tasks.begun")
        except Alike as alike:
            trail.task = alike.task
            stored = await self._end(trail, replace(ending, executed="no"))
        except TooManyWaiting:
            raise Refused("rate_limited", TOO_MANY, rule=wish.decision.rule) from None
        except (InDoubt, asyncio.CancelledError):
            trail.ended_by_journal = True
            raise
        return self._answers.working(trail, stored)

    async def _record_intent(self, trail: Trail, wish: Wish) -> bool:
        """What is to be done is on record, and what it uses reserved. False where it was to go ahead under a grant and
        cannot: then people are asked."""
        carried, leave, tool = trail.carried, trail.leave, wish.tool
        await self._limiting.observe(trail, tool)
        if tool.effects == "none" and leave is None and (carried is None or _needs_no_begin(trail, carried)):
            self._journal.require_writable()
            await self._limiting.reserve(trail, tool)
            return True
        begin = carried.begin(wish.arguments, trail.asked_now(wish.decision)) if carried else None
        grant = self._granting.using(leave, wish, is_step=carried is not None) if leave else None
        reserving, undo = self._limiting.reserving(trail, tool), self._limiting.undoing(trail)
        try:
            trail.intent = await self._journal.intent(trail.facts(), joined(grant, begin, reserving), undo)
        except (NotGranted, Alike):
            trail.leave, trail.reserved = None, False
            return False
        except NotApproved as error:
            raise Refused("approval_mismatch", str(error)) from None
        except Moved:
            raise Refused("cancelled", "the step was moved on meanwhile") from None
        except (InDoubt, asyncio.CancelledError):
            trail.ended_by_journal = True  # whether the intent is stored is not known yet; the journal will know
            raise
        return True

    async def _invoke(self, trail: Trail, tool: Tool, arguments: Mapping[str, object]) -> object:
        failpoint("pipeline.before-act")
        trail.acted = True
        invocation = Invocation(
            trail.call.id,
            arguments,
            tool.timeout,
            idempotency_key=trail.carried.key if trail.carried else trail.call.id,
            principal=trail.principal,
            trace=trail.call.trace,
            back=trail.shown_meanwhile,
            completes=trail.call.completes,
        )
        reply, _ = await attempt(tool, trail.under.connectors[tool.name], invocation)
        failpoint("pipeline.after-act")
        return reply.value

    def _shape(self, trail: Trail, entry: Entry, decision: Decision, value: object) -> Shaped:
        shaped = shape(value, self._redact)
        if entry.check_result(shaped.structured):
            _log.error("result does not match outputSchema", extra={"tool": entry.tool.name})
            raise Refused("output_invalid", "the tool's answer does not match its output schema", executed="yes")
        self._limiting.hear(trail, entry.tool, shaped.structured)
        # Also in observe mode: what a row hides keeps no call from being carried out.
        shaped = shaped.without(decision.then.redact)
        if entry.tool.gives_blocks:  # after that, so that what is hidden is in no block either
            typed = entry.tool.output_schema is not None
            shaped = replace(shaped, content=blocks_of(shaped.structured), typed=typed)
        return shaped

    # --- the four ends ----------------------------------------------------------------------------------------------

    async def _answer(self, trail: Trail, shaped: Shaped) -> Answer:
        result = shaped.structured
        ending = Ending(
            "ok",
            "yes",
            self._elapsed_us(trail),
            result=result,
            has_result=True,
            redacted=shaped.redacted,
            stripped=shaped.stripped,
            whole=shaped.whole,
        )
        stored: Stored | None = None
        try:
            if trail.carried is not None and trail.carried.later is not None:
                facts, (ending, work) = trail.facts(), self._closing(trail, ending, self._done(trail, result))
                trail.carried.later(self._journal.outcome_soon(facts, ending, trail.intent, work))
            else:
                stored = await self._end(trail, ending, self._done(trail, result))
        except StoreUnavailable:
            return self._answers.refusal(trail, _unrecorded("yes"), None)
        return self._answers.result(trail, shaped, stored)

    async def _tell(self, trail: Trail, decision: Decision) -> Answer:
        """The end of a dry run: what would be decided now, and nothing done."""
        try:
            stored = await self._end(trail, Ending("ok", "no", self._elapsed_us(trail)))
        except StoreUnavailable as error:
            return self._answers.refusal(trail, Refused("audit_unavailable", error.message), None)
        return self._answers.dry_run(trail, decision, stored)

    async def _refuse(self, trail: Trail, refusal: Refused) -> Answer:
        refusal = trail.told(refusal)
        if refusal.executed == "unknown" and trail.acts_once:
            refusal.retry = "never"  # repeating could do it twice
        if trail.ended_by_journal:
            return self._answers.refusal(trail, refusal, None)
        status = FAILURES.get(refusal.code, "refused")
        ending = Ending(status, refusal.executed, self._elapsed_us(trail), code=refusal.code)
        try:
            stored = await self._end(trail, ending, self._ended(trail, refusal))
        except StoreUnavailable as error:
            unrecorded = _unrecorded(refusal.executed) if trail.acted else Refused("audit_unavailable", error.message)
            return self._answers.refusal(trail, unrecorded, None)
        return self._answers.refusal(trail, refusal, stored)

    async def _hide(self, trail: Trail) -> Answer:
        """Record the attempt, then answer as if there were nothing to see."""
        ending = Ending("refused", "no", self._elapsed_us(trail), code="policy_denied")
        try:
            await self._journal.outcome(trail.facts(), ending)
        except StoreUnavailable as error:
            return self._answers.refusal(trail, Refused("audit_unavailable", error.message), None)
        raise UnknownTool()

    async def _end(self, trail: Trail, ending: Ending, ended: Ended | None = None) -> Stored:
        """Record the outcome, and in the same commit what the caller is about to be shown and where its task is."""
        ending, work = self._closing(trail, ending, ended)
        return await self._journal.outcome(trail.facts(), ending, trail.intent, work)

    def _closing(self, trail: Trail, ending: Ending, ended: Ended | None) -> tuple[Ending, Work | None]:
        ending, settling = self._limiting.settling(trail, replace(ending, asked=tuple(trail.questions.entries)))
        noting = joined(settling, self._seen.noting(trail.principal, trail.brings), self._keeping.releasing(ending))
        if trail.carried is not None and ended is not None:
            noting = joined(noting, trail.carried.end(ended))
        return ending, noting

    def _done(self, trail: Trail, result: Mapping[str, object]) -> Ended:
        return Ended(result, False, "yes", unbegun=trail.intent is None)

    def _ended(self, trail: Trail, refusal: Refused) -> Ended:
        told = self._answers.view(trail, refusal).as_dict()
        transient = refusal.transient if isinstance(refusal, Failed) else None
        wait = refusal.retry_after_s if refusal.code == "rate_limited" else None
        unbegun = trail.acted and trail.intent is None
        return Ended({"guard": told}, True, refusal.executed, refusal.code, transient, wait, unbegun)

    # --- small parts ------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return as_datetime(self._clock.now_us())

    def _elapsed_us(self, trail: Trail) -> int:
        return int((self._clock.monotonic() - trail.started) * 1_000_000)


def _wish(trail: Trail, tool: Tool, arguments: Mapping[str, object], decision: Decision) -> Wish:
    """The call, as far as it came: what waits for people, begins as a task or goes ahead."""
    return Wish(trail.principal, trail.call.id, tool, arguments, trail.justification, trail.call.trace, decision)


def _needs_no_begin(trail: Trail, carried: Carried) -> bool:
    """Whether a step without effects may be made at once: it uses up no approval and nothing of a limit, and its row
    is written with its outcome. A call that is a task by itself is seen to be under way."""
    return carried.approved is None and trail.use is None and carried.later is not None


def _unrecorded(executed: Executed) -> Refused:
    reason = "the outcome could not be recorded, so it is withheld"
    return Refused("outcome_unrecorded", reason, executed=executed)
