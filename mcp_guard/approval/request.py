"""What somebody is asked to decide, and what exactly a decision is about."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256

from mcp_guard.kit import strict_json
from mcp_guard.model.moves import ApprovalState
from mcp_guard.model.principal import Principal

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


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One question to people. Times are unix µs.

    `requester`, `client` and `chain` took part in asking: none of them can satisfy `not_requester`. `summary` are lines
    made from bound values only, with nothing hidden in them.
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

    def terms(self) -> dict[str, object]:
        """All that never changes about it, `binds` aside: who asked, who may decide until when, what is shown."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("binds", "state")}

    def as_dict(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """The shape of `approvals list` (contract section 5), with a few more keys."""
        from mcp_guard.kit.clock import as_datetime

        return {
            "id": self.id,
            "tool": self.tool,
            "requester": self.requester,
            "via": self.client,
            "tenant": self.tenant,
            "arguments": dict(arguments),
            "approvers": list(self.approvers),
            "quorum": self.quorum,
            "expires_at": as_datetime(self.expires_at).isoformat(timespec="seconds"),
            "state": self.state.value,
            "task_id": self.task,
            "rule": self.rule,
            "reason": self.reason,
            "summary": list(self.summary),
            "binds": self.binds,
        }
