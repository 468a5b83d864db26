"""One call, in one order. This page is the product; read `_govern` from top to bottom.

    identity      who is acting comes in as a `Principal`; nothing here believes a name in a message
    catalog       the tool, if policy lets the caller see it: hidden and unknown look alike
    validate      strict arguments against the tool's schema, bound values filled in
    policy        what an operator froze, scopes, then allow | require_approval | deny, with the rule and its reason;
                  at a tool in observe mode it is recorded as what would have been, and only a freeze stops the call
    audit intent  durable before the act (`effects: none` needs none: it has nothing to repeat)
    invoke        the connector, with timeout, retries and one idempotency key
    shape         redaction, hidden characters, size, output schema
    audit outcome durable before the answer
    answer        the result or a refusal, with a receipt; a dry run ends after policy with the decision itself

Whichever stage ends a call, exactly one outcome is recorded, and it says as much as was true by then.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mcp_guard.audit import listings
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.connect.attempts import attempt
from mcp_guard.connect.shape import Shaped, shape
from mcp_guard.generation import Generation, InForce, is_shown
from mcp_guard.identity.binding import bound, sensitive_attributes
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.limits.freeze import Freezes
from mcp_guard.limits.seen import Seen
from mcp_guard.manifest.catalog import Entry
from mcp_guard.model.call import FAILURES, Answer, DryRunView, Invocation, Receipt, RefusalView, ToolCall
from mcp_guard.model.codes import Executed
from mcp_guard.model.decision import (
    NO_SUCH_TOOL,
    RULE_DEFAULT,
    RULE_FROZEN,
    RULE_SCOPE,
    AccessRequest,
    Decision,
    Effect,
    scope_decision,
)
from mcp_guard.model.disclosure import Disclosure, denial, disclosing
from mcp_guard.model.errors import Refused, StoreUnavailable, UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Tool
from mcp_guard.store.errors import InDoubt
from mcp_guard.store.values import Stored
from mcp_guard.telemetry.context import enter_call

_log = logging.getLogger("mcp_guard.pipeline")

DRY_RUN_FORM = "_meta mcp-guard/dry_run is true or absent; nothing else says what is wanted"


def new_call_id() -> str:
    """128 random bits: a call id cannot be guessed."""
    return os.urandom(16).hex()


@dataclass(slots=True)
class _Trail:
    """What is known of one call so far. It is governed by the generation it began `under`, whatever comes in force."""

    under: Generation
    principal: Principal
    call: ToolCall
    started: float
    entry: Entry | None = None
    arguments: Mapping[str, object] | None = None
    justification: str | None = None
    seen: frozenset[str] | None = None
    asked: AccessRequest | None = None
    decision: Decision | None = None
    intent: Stored | None = None
    acted: bool = False
    ended_by_journal: bool = False

    def facts(self) -> CallFacts:
        tool = self.entry.tool if self.entry else None
        return CallFacts(
            call=self.call.id,
            principal=self.principal,
            tool=self.call.tool,
            fingerprint=tool.fingerprint if tool else None,
            arguments=self.arguments,
            sensitive=tool.sensitive if tool else (),
            justification=self.justification,
            decision=self.decision,
            would=self.would,
            asked=self.asked,
            sensitive_attributes=sensitive_attributes(tool.bind, tool.sensitive) if tool else (),
            trace=self.call.trace.id if self.call.trace else None,
            dry_run=self.call.dry_run == "yes",
        )

    @property
    def would(self) -> Effect | None:
        """What obeying policy would have made of the call, where it is only observed. A freeze always holds."""
        decision = self.decision
        if decision is None or self.entry is None or not self.entry.tool.observed:
            return None
        return None if decision.allowed or decision.rule == RULE_FROZEN else decision.effect

    @property
    def brings(self) -> Sequence[str]:
        """The labels of what the caller is shown of this call: an error may quote the other side like a result."""
        return self.entry.tool.labels if self.acted and self.entry else ()

    @property
    def acts_once(self) -> bool:
        return self.entry is not None and self.entry.tool.effects == "once"

    @property
    def executed(self) -> Executed:
        """What can be said of the act when a call ends without its connector having said it."""
        return "unknown" if self.acted and self.entry and self.entry.tool.effects != "none" else "no"


class Pipeline:
    """Carries out governed calls. One instance serves all clients of a process."""

    def __init__(
        self,
        *,
        in_force: InForce,
        freezes: Freezes,
        seen: Seen,
        journal: Journal,
        refusals: Disclosure,
        redact: Callable[[object], object],
        clock: Clock,
    ) -> None:
        self._in_force = in_force
        self._freezes = freezes
        self._seen = seen
        self._journal = journal
        self._refusals = refusals
        self._redact = redact
        self._clock = clock
        self._running: set[asyncio.Task[Answer]] = set()
        self._stopping = False

    def visible_tools(self, principal: Principal) -> Sequence[Tool]:
        """The tools policy lets `principal` see, by name: exactly those that `call` does not answer as unknown."""
        under = self._in_force.current
        return under.visible(principal, self._now(), under.seen_by(principal, self._seen))

    async def list_tools(self, principal: Principal) -> Sequence[Tool]:
        """`visible_tools`, on record with what was withheld. Raises `StoreUnavailable` where it cannot be recorded."""
        under = self._in_force.current
        listing = under.listing(principal, self._now(), under.seen_by(principal, self._seen))
        shown = [tool for tool, decision in listing if is_shown(tool, decision)]
        denied = [(tool, decision.rule) for tool, decision in listing if not decision.allowed]
        withheld = Counter(rule for tool, rule in denied if not tool.observed)
        observed = Counter(rule for tool, rule in denied if tool.observed)
        await self._journal.listed(principal, listings.state([tool.name for tool in shown], withheld, observed))
        return shown

    async def call(self, principal: Principal, call: ToolCall) -> Answer:
        """Carry out one call and return its answer, refusals included.

        Raises `UnknownTool` for a tool that is not there or not for this principal. A client that goes away does not
        stop a call: an act that was begun is finished within its timeout and its outcome is recorded.
        """
        task = asyncio.create_task(self._govern(principal, call))
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

    async def _govern(self, principal: Principal, call: ToolCall) -> Answer:
        trail = _Trail(self._in_force.current, principal, call, self._clock.monotonic())
        shaped: Shaped | None = None
        enter_call(call.id, call.trace.id if call.trace else None)
        try:
            entry = self._find(trail)
            arguments = self._validate(trail, entry)
            decision = self._decide_call(trail, entry.tool, arguments)
            if call.dry_run == "no":
                self._authorize(trail, decision)
                await self._record_intent(trail, entry.tool)
                value = await self._invoke(trail, entry.tool, arguments)
                shaped = self._shape(trail, entry, value)
        except UnknownTool:
            return await self._hide(trail)
        except Refused as refusal:
            return await self._refuse(trail, refusal)
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

    def _find(self, trail: _Trail) -> Entry:
        under = trail.under
        # Before the catalog is asked: a store that fails must not tell a hidden tool from an unknown one.
        trail.seen = under.seen_by(trail.principal, self._seen)
        entry = under.catalog.get(trail.call.tool)
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

    def _validate(self, trail: _Trail, entry: Entry) -> Mapping[str, object]:
        trail.arguments = trail.call.arguments
        if trail.call.dry_run == "malformed":
            raise Refused("args_invalid", DRY_RUN_FORM)
        violations = entry.check_arguments(trail.call.arguments)
        if violations:
            raise Refused("args_invalid", "; ".join(str(violation) for violation in violations))
        arguments, trail.justification = entry.split(trail.call.arguments)
        trail.arguments = arguments | bound(entry.tool.bind, trail.principal)
        return trail.arguments

    def _decide_call(self, trail: _Trail, tool: Tool, arguments: Mapping[str, object]) -> Decision:
        under, principal = trail.under, trail.principal
        version = under.policy.version
        frozen = self._freezes.decision(principal, tool.name, version)
        if trail.decision is not None:  # in observe mode only: obeyed, the list would have ended the call
            trail.decision = frozen or trail.decision
            return trail.decision
        trail.asked = under.question(principal, "call", tool.name, self._now(), arguments, seen=trail.seen)
        trail.decision = frozen or scope_decision(tool.scopes, principal, version) or under.policy.decide(trail.asked)
        return trail.decision

    def _authorize(self, trail: _Trail, decision: Decision) -> None:
        if trail.would is not None:
            return
        if decision.effect is Effect.DENY:
            raise denial(decision, "why")
        if decision.effect is Effect.REQUIRE_APPROVAL:
            raise Refused("approval_pending", decision.reason, rule=decision.rule, effect="require_approval")

    async def _record_intent(self, trail: _Trail, tool: Tool) -> None:
        if tool.effects == "none":
            self._journal.require_writable()
        else:
            try:
                trail.intent = await self._journal.intent(trail.facts())
            except (InDoubt, asyncio.CancelledError):
                trail.ended_by_journal = True  # whether the intent is stored is not known yet; the journal will know
                raise

    async def _invoke(self, trail: _Trail, tool: Tool, arguments: Mapping[str, object]) -> object:
        failpoint("pipeline.before-act")
        trail.acted = True
        invocation = Invocation(
            trail.call.id,
            arguments,
            tool.timeout,
            idempotency_key=trail.call.id,
            principal=trail.principal,
            trace=trail.call.trace,
        )
        reply, _ = await attempt(tool, trail.under.connectors[tool.name], invocation)
        failpoint("pipeline.after-act")
        return reply.value

    def _shape(self, trail: _Trail, entry: Entry, value: object) -> Shaped:
        shaped = shape(value, self._redact)
        if entry.check_result(shaped.structured):
            _log.error("result does not match outputSchema", extra={"tool": entry.tool.name})
            raise Refused("output_invalid", "the tool's answer does not match its output schema", executed="yes")
        return shaped

    # --- the four ends ----------------------------------------------------------------------------------------------

    async def _answer(self, trail: _Trail, shaped: Shaped) -> Answer:
        ending = Ending("ok", "yes", self._elapsed_us(trail), result=shaped.structured, has_result=True)
        try:
            stored = await self._end(trail, ending)
        except StoreUnavailable:
            return self._refusal(trail, _unrecorded("yes"), None)
        return Answer(trail.call.id, shaped.structured, shaped.encoded.decode(), False, self._receipt(trail, stored))

    async def _tell(self, trail: _Trail, decision: Decision) -> Answer:
        """The end of a dry run: what would be decided now, and nothing done."""
        try:
            stored = await self._journal.outcome(trail.facts(), Ending("ok", "no", self._elapsed_us(trail)))
        except StoreUnavailable as error:
            return self._refusal(trail, Refused("audit_unavailable", error.message), None)
        view = DryRunView(trail.call.id, decision, trail.would is not None, self._refusals)
        return Answer(trail.call.id, {"guard": view.as_dict()}, view.as_text(), False, self._receipt(trail, stored))

    async def _refuse(self, trail: _Trail, refusal: Refused) -> Answer:
        if refusal.executed == "unknown" and trail.acts_once:
            refusal.retry = "never"  # repeating could do it twice
        if trail.ended_by_journal:
            return self._refusal(trail, refusal, None)
        status = FAILURES.get(refusal.code, "refused")
        ending = Ending(status, refusal.executed, self._elapsed_us(trail), code=refusal.code)
        try:
            stored = await self._end(trail, ending)
        except StoreUnavailable as error:
            unrecorded = _unrecorded(refusal.executed) if trail.acted else Refused("audit_unavailable", error.message)
            return self._refusal(trail, unrecorded, None)
        return self._refusal(trail, refusal, self._receipt(trail, stored))

    async def _hide(self, trail: _Trail) -> Answer:
        """Record the attempt, then answer as if there were nothing to see."""
        ending = Ending("refused", "no", self._elapsed_us(trail), code="policy_denied")
        try:
            await self._journal.outcome(trail.facts(), ending)
        except StoreUnavailable as error:
            return self._refusal(trail, Refused("audit_unavailable", error.message), None)
        raise UnknownTool()

    async def _end(self, trail: _Trail, ending: Ending) -> Stored:
        """Record the outcome, and with it, in one commit, what the caller is about to be shown."""
        noting = self._seen.noting(trail.principal, trail.brings)
        return await self._journal.outcome(trail.facts(), ending, trail.intent, noting)

    # --- small parts ------------------------------------------------------------------------------------------------

    def _now(self) -> datetime:
        return as_datetime(self._clock.now_us())

    def _refusal(self, trail: _Trail, refusal: Refused, receipt: Receipt | None) -> Answer:
        lacks_scope = refusal.rule == RULE_SCOPE
        refusal = disclosing(refusal, self._refusals)
        view = RefusalView(
            code=refusal.code,
            reason=refusal.reason,
            call=trail.call.id,
            executed=refusal.executed,
            retry=refusal.retry,
            effect=refusal.effect,
            rule=refusal.rule,
            retry_after_s=refusal.retry_after_s,
        )
        told = {"guard": view.as_dict()}
        return Answer(trail.call.id, told, view.as_text(), True, receipt, refusal.exit_code, lacks_scope)

    def _receipt(self, trail: _Trail, stored: Stored) -> Receipt:
        checkpoint = self._journal.checkpoint(stored)
        return Receipt(trail.call.id, self._journal.origin, stored.n, stored.leaf, checkpoint)

    def _elapsed_us(self, trail: _Trail) -> int:
        return int((self._clock.monotonic() - trail.started) * 1_000_000)


def _unrecorded(executed: Executed) -> Refused:
    reason = "the outcome could not be recorded, so it is withheld"
    return Refused("outcome_unrecorded", reason, executed=executed)
