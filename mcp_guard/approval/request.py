"""What somebody is asked to decide, and what exactly a decision is about."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from hashlib import sha256

from mcp_guard.kit import strict_json
from mcp_guard.model.decision import REQUESTER, Escalation
from mcp_guard.model.moves import ApprovalState
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import ApproveStep

RULE_STEP = "guard:step"
"""The rule of an approval that a workflow's own step asks for."""


def binding(tool: str, fingerprint: str, requester: Principal, arguments: Mapping[str, object], rule: str) -> str:
    """What an approval is for, and for nothing else: the sha256 (hex) of the tool, what it executes, who asked through
    whom, the bound arguments and the rule that wants it."""
    who = {
        "sub": requester.subject,
        "via": requester.client,
        "tenant": requester.tenant,
        "chain": list(requester.chain),
    }
    bound = {"tool": tool, "fp": fingerprint, "requester": who, "args": dict(arguments), "rule": rule}
    return sha256(strict_json.dumps(bound)).hexdigest()


def binding_of_question(
    tool: str, fingerprint: str, requester: Principal, step: ApproveStep, values: Mapping[str, object]
) -> str:
    """The same for the question of a workflow's own step: what it says, and the values in it."""
    about = {"step": step.id, "summary": step.summary, "values": values}
    return binding(tool, fingerprint, requester, about, RULE_STEP)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One question to people. Times are unix µs.

    `requester`, `client` and `chain` took part in asking: none of them can satisfy `not_requester`. `summary` are lines
    made from bound values only, with nothing hidden in them. `assurance`: only decisions of people known that
    surely count. Where `approvers` begin with `REQUESTER` it is a confirmation: only whoever asked answers it, and the
    others (`further`) are asked afterwards, by a request of their own, which is what `not_requester`, `quorum` and
    escalation are about then.

    `escalate_to` may decide as well from `escalates_at` on, once the guard says so: `escalated_at` with its seal is
    that word, and worth nothing where the seal does not fit (`Parking.is_escalated`).
    """

    id: str
    task: str
    step: str
    tool: str
    binds: str
    requester: str
    client: str
    tenant: str
    chain: tuple[str, ...]
    rule: str
    reason: str
    approvers: tuple[str, ...]
    not_requester: bool
    quorum: int
    created_at: int
    expires_at: int
    summary: tuple[str, ...]
    state: ApprovalState = ApprovalState.PENDING
    call: str = ""
    escalate_to: tuple[str, ...] = ()
    escalates_at: int | None = None
    escalated_at: int | None = None
    escalation_seal: str = ""
    assurance: str = ""

    @property
    def moves_at(self) -> int:
        """When it next moves by itself: it is escalated, or it expires. Nobody else can confirm for the requester."""
        if self.escalates_at is None or self.escalated_at is not None or self.is_confirmation:
            return self.expires_at
        return min(self.escalates_at, self.expires_at)

    def asked(self, *, escalated: bool) -> tuple[str, ...]:
        """Who may decide, by role or name."""
        return tuple(dict.fromkeys((*self.approvers, *self.escalate_to))) if escalated else self.approvers

    @property
    def is_confirmation(self) -> bool:
        """Whether this is for whoever asked to confirm."""
        return self.approvers[:1] == (REQUESTER,)

    @property
    def further(self) -> tuple[str, ...]:
        """Whom to ask once it is confirmed."""
        return self.approvers[1:] if self.is_confirmation else ()

    def passed_on(self, identifier: str, now: int) -> "ApprovalRequest":
        """The request to the others, once this is confirmed; it still has to be bound. They have what is left of its
        time."""
        now = max(now, self.created_at + 1)  # the newest request of a step is the one that counts
        at = None if self.escalates_at is None else now + self.escalates_at - self.created_at
        later = at if at is not None and at < self.expires_at else None
        return replace(
            self,
            id=identifier,
            approvers=self.further,
            created_at=now,
            state=ApprovalState.PENDING,
            escalates_at=later,
            escalate_to=() if later is None else self.escalate_to,
        )

    @property
    def needed(self) -> int:
        """How many people have to agree."""
        return 1 if self.is_confirmation else max(1, self.quorum)

    def terms(self) -> dict[str, object]:
        """All that never changes about it, `binds` aside: who asked, who may decide and when, what is shown.

        What it does not ask for is left out: it has the terms it had before there was such a thing.
        """
        left_out = _MOVING if self.escalates_at is not None or self.escalate_to else _MOVING | _ESCALATION
        left_out = left_out if self.assurance else left_out | _ASSURANCE
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}

    def as_dict(self, arguments: Mapping[str, object], *, escalated: bool) -> dict[str, object]:
        """The shape of `approvals list` (contract section 5), with a few more keys."""
        from mcp_guard.kit.clock import as_datetime

        return {
            "id": self.id,
            "tool": self.tool,
            "requester": self.requester,
            "via": self.client,
            "tenant": self.tenant,
            "arguments": dict(arguments),
            "approvers": list(self.asked(escalated=escalated)),
            "quorum": self.quorum,
            **({"assurance": self.assurance} if self.assurance else {}),
            "expires_at": as_datetime(self.expires_at).isoformat(timespec="seconds"),
            "escalation": None if self.escalates_at is None else self._escalation(self.escalates_at, escalated),
            "state": self.state.value,
            "task_id": self.task,
            "rule": self.rule,
            "reason": self.reason,
            "summary": list(self.summary),
            "binds": self.binds,
        }

    def _escalation(self, at: int, escalated: bool) -> dict[str, object]:
        from mcp_guard.kit.clock import as_datetime

        due_at = as_datetime(at).isoformat(timespec="seconds")
        return {"to": list(self.escalate_to), "at": due_at, "escalated": escalated}


_MOVING = frozenset({"binds", "state", "escalated_at", "escalation_seal"})
_ESCALATION = frozenset({"escalate_to", "escalates_at"})
_ASSURANCE = frozenset({"assurance"})


def due(escalation: Escalation | None, now: int, expires_at: int) -> tuple[tuple[str, ...], int | None]:
    """Who is asked as well, and from when on (unix µs); nobody where the question expires before."""
    at = expires_at if escalation is None else now + round(escalation.after * 1_000_000)
    return (escalation.to, at) if escalation is not None and at < expires_at else ((), None)
