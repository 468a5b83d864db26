"""What is known of one call on its way through the pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcp_guard.approval.grant_store import Leave
from mcp_guard.audit.facts import CallFacts
from mcp_guard.generation import Generation
from mcp_guard.identity.binding import sensitive_attributes
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.use import Use
from mcp_guard.manifest.catalog import Entry
from mcp_guard.model.back_channel import NOBODY, BackChannel, Questions
from mcp_guard.model.call import Provenance, ToolCall
from mcp_guard.model.codes import Executed
from mcp_guard.model.decision import OPERATORS, AccessRequest, AskedNow, Decision, Effect
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import NotConnected
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import McpSpec
from mcp_guard.store.values import Stored
from mcp_guard.tasks.carried import Carried


@dataclass(slots=True)
class Trail:
    """What is known of one call so far. It is governed by the generation it began `under`, whatever comes in force.

    `use` is what it takes of its limits, `reserved` once it may have; `reached` the limit that it would exceed;
    `reported` what its result says it cost (millionths); `back` the way to whoever waits for its end;
    `questions` what its server asked meanwhile.
    """

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
    carried: Carried | None = None
    task: str | None = None
    leave: Leave | None = None
    use: Use | None = None
    reserved: bool = False
    reached: Reached | None = None
    reported: int | None = None
    back: BackChannel = NOBODY
    questions: Questions = field(default_factory=Questions)

    def facts(self) -> CallFacts:
        tool = self.entry.tool if self.entry else None
        carried = self.carried
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
            task=carried.task if carried else self.task,
            step=carried.step if carried else None,
            attempt=carried.attempt if carried else None,
            dry_run=self.call.dry_run == "yes",
            grant=self.leave.grant.id if self.leave else None,
            completes=self.call.completes is not None,
        )

    @property
    def would(self) -> Effect | None:
        """What obeying policy would have made of the call, where it is only observed. An operator's stop holds."""
        decision = self.decision
        if decision is None or self.entry is None or not self.entry.tool.observed:
            return None
        if decision.allowed:
            return Effect.DENY if self.reached is not None else None
        return None if decision.rule in OPERATORS else decision.effect

    def waits_for_people(self, decision: Decision) -> bool:
        """Whether people have to be asked who have not agreed yet."""
        agreed = self.carried is not None and self.carried.approved is not None
        return decision.effect is Effect.REQUIRE_APPROVAL and self.would is None and not agreed

    def asked_now(self, decision: Decision) -> AskedNow | None:
        """What policy asks of an approval by now; nothing where it lets the call go ahead by itself."""
        if decision.effect is not Effect.REQUIRE_APPROVAL or self.would is not None:
            return None
        roles, tenant = self.under.policy.rules.roles, self.principal.tenant
        return AskedNow(decision.then, lambda subject: roles.closure(subject, tenant))

    @property
    def brings(self) -> Sequence[str]:
        """The labels of what the caller is shown of this call: an error may quote the other side like a result."""
        return self.entry.tool.labels if self.acted and self.entry else ()

    @property
    def shown_meanwhile(self) -> BackChannel:
        """The way back as far as this call may use it. Words of it would pass by what policy hides of its result, and
        come before the labels are noted that a result of its tool brings along."""
        marked = self.entry is not None and bool(self.entry.tool.labels)
        hidden = self.decision is not None and bool(self.decision.then.redact)
        back = replace(self.back, questions=self.questions)
        if hidden or self.would is not None:
            back = back.asking_nobody("redacted" if hidden else "observed")
        return back.without_words() if marked or hidden else back

    @property
    def provenance(self) -> Provenance | None:
        """Where what the caller is shown came from, where its tool marks that or another server said it."""
        if not self.acted or self.entry is None:
            return None
        tool = self.entry.tool
        upstream = tool.connector.upstream.name if isinstance(tool.connector, McpSpec) else None
        if upstream is None and not tool.labels:
            return None
        return Provenance(tool.name, tool.connector.kind, tool.labels, upstream)

    def told(self, refusal: Refused) -> Refused:
        """A refusal as it may be told: what is carried out as a task is kept with it."""
        return refusal.kept() if self.carried is not None and isinstance(refusal, NotConnected) else refusal

    @property
    def acts_once(self) -> bool:
        return self.entry is not None and self.entry.tool.effects == "once"

    @property
    def executed(self) -> Executed:
        """What can be said of the act when a call ends without its connector having said it."""
        return "unknown" if self.acted and self.entry and self.entry.tool.effects != "none" else "no"
