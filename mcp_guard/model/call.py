"""One call and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from mcp_guard.model.back_channel import NOBODY, BackChannel
from mcp_guard.model.codes import Code, Executed, Retry
from mcp_guard.model.decision import REQUESTER, Decision
from mcp_guard.model.disclosure import Disclosure, disclosed
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import ConsentLink, NotConnected
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import Method
from mcp_guard.model.trace import Trace

DryRun = Literal["no", "yes", "malformed"]
RECEIPT_KEY: Final = "mcp-guard/receipt"
FINISHED_KEY: Final = "mcp-guard/finished"
REDACTED_KEY: Final = "mcp-guard/redacted"
STRIPPED_KEY: Final = "mcp-guard/stripped"
PROVENANCE_KEY: Final = "mcp-guard/provenance"
Status = Literal["ok", "refused", "error", "timeout", "cancelled", "unknown"]

FAILURES: Mapping[Code, Status] = {
    "upstream_timeout": "timeout",
    "cancelled": "cancelled",
    "egress_denied": "error",
    "upstream_unavailable": "error",
    "upstream_too_large": "error",
    "upstream_bad_response": "error",
    "upstream_error": "error",
    "output_invalid": "error",
    "outcome_unrecorded": "unknown",
    "internal": "error",
}
"""Codes of calls that went wrong rather than being decided against, and the status they end with."""

_EMPTY: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a client asked for, before anything is believed. `arguments` came through the strict JSON reader.

    `method` says how it was asked for: what is something else than a client took it for is not there. `trace` is where
    the caller's trace stands. With `completes` it is the beginning of a call, and values for that argument are wanted.
    A `dry_run` is decided and not carried out; a malformed wish for one is
    refused, never taken for a wish to act.
    """

    id: str
    tool: str
    arguments: Mapping[str, object] = field(default_factory=lambda: _EMPTY)
    trace: Trace | None = None
    dry_run: DryRun = "no"
    method: Method = "tools/call"
    completes: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a connector is given: validated, bound arguments and the means to act once.

    `principal` is for whom a credential of this call is made out (`CredentialRequest`); `trace` what it is part of;
    `back` what reaches whoever waits for it. With `completes` only values for that argument are wanted.
    """

    call: str
    arguments: Mapping[str, object]
    timeout: float
    idempotency_key: str
    attempt: int = 1
    principal: Principal | None = None
    trace: Trace | None = None
    back: BackChannel = NOBODY
    completes: str | None = None


CredentialKind = Literal["call", "exchange"]


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """A credential for one call to one upstream: who acts, at which tool, with which scopes, and for whom it is.

    `audience` is the upstream's origin, `scheme://host[:port]`. The credential the caller presented is no part of it.
    """

    kind: CredentialKind
    principal: Principal
    call: str
    tool: str
    scopes: frozenset[str]
    audience: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a connector returns: one JSON value."""

    value: object


@dataclass(frozen=True, slots=True)
class Receipt:
    """Names the outcome record of a call, so that whoever keeps it can ask for its proof.

    `checkpoint` is a signed note that covers the record; none where the log cannot be signed.
    """

    call: str
    log: str
    n: int
    leaf: str
    checkpoint: str | None = None

    def as_dict(self) -> dict[str, object]:
        return {"call": self.call, "log": self.log, "n": self.n, "leaf": self.leaf, "checkpoint": self.checkpoint}


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """A task of the caller's that ended, and how."""

    task: str
    status: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result came from: the tool and its kind, what its results bring along, and the server that said it."""

    tool: str
    connector: str
    labels: tuple[str, ...] = ()
    upstream: str | None = None

    def as_dict(self) -> dict[str, object]:
        named = {} if self.upstream is None else {"upstream": self.upstream}
        return {"tool": self.tool, "connector": self.connector, "labels": list(self.labels), **named}


@dataclass(frozen=True, slots=True)
class About:
    """What was done to a result before it was shown: places that policy hid, hidden characters that were taken out."""

    redacted: int = 0
    stripped: int = 0
    provenance: Provenance | None = None


_NOTHING_DONE = About()


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a call: a structured result, or a refusal the agent can read and adapt to.

    `receipt` is missing only where the outcome could not be recorded. `lacks_scope` is for the transport: a client may
    be able to get what was missing. `task` is the task a call goes on as after this answer, if it does. `finished` are
    tasks of the caller's that ended since they were last answered. `content` are blocks to be shown for the text;
    `typed` says that the tool promises a structured result. `link` is where the caller's person can connect the account
    that the call would use.
    """

    call: str
    structured: Mapping[str, object]
    text: str
    is_error: bool
    receipt: Receipt | None
    exit_code: int = 0
    lacks_scope: bool = False
    task: str | None = None
    finished: tuple[FinishedTask, ...] = ()
    about: About = _NOTHING_DONE
    content: tuple[Mapping[str, object], ...] = ()
    typed: bool = True
    link: ConsentLink | None = None

    def on_the_wire(self) -> dict[str, object]:
        """What goes into a `CallToolResult` besides `_meta`. What has blocks and is not `typed` is not said twice:
        models read structured content too, and a picture would be a text to them."""
        wire: dict[str, object] = {"content": list(self.content or [{"type": "text", "text": self.text}])}
        if self.typed or not self.content:
            wire["structuredContent"] = dict(self.structured)
        return wire | {"isError": self.is_error}

    def meta(self) -> dict[str, object]:
        """What goes into the `_meta` of a result with this answer (contract 4)."""
        meta: dict[str, object] = {}
        if self.receipt is not None:
            meta[RECEIPT_KEY] = self.receipt.as_dict()
        if self.finished:
            meta[FINISHED_KEY] = [{"task_id": one.task, "status": one.status} for one in self.finished]
        if self.about is not _NOTHING_DONE:
            for key, count in ((REDACTED_KEY, self.about.redacted), (STRIPPED_KEY, self.about.stripped)):
                if count:
                    meta[key] = count
            if self.about.provenance is not None:
                meta[PROVENANCE_KEY] = self.about.provenance.as_dict()
        return meta


@dataclass(frozen=True, slots=True)
class DryRunView:
    """The wire form of what a dry run found out (`structuredContent.guard`).

    `observed` says that a call would be carried out all the same: policy is not obeyed at this tool. `limited` is what
    a limit would say now.
    """

    call: str
    decision: Decision
    observed: bool = False
    how: Disclosure = "why"
    limited: Refused | None = None

    def as_dict(self) -> dict[str, object]:
        view: dict[str, object] = {
            "code": "dry_run",
            **self._told(),
            "call": self.call,
            "executed": "no",
        }
        if self.observed:
            view["observed"] = True
        if self.limited is not None:
            view["limited"] = {"code": self.limited.code, "reason": self.limited.reason}
        return view

    def as_text(self) -> str:
        told = self._told()
        rule = f" (rule {told['rule']})" if "rule" in told else ""
        text = f"NOT EXECUTED: a dry run; {told['effect']}: {told['reason']}{rule}"
        if self.limited is not None:
            text += f"; a limit is in the way now: {self.limited.reason}"
        return f"{text}; only observed: a call would be carried out" if self.observed else text

    def _told(self) -> dict[str, object]:
        return disclosed(self.decision.as_told(), self.how)


PENDING_EXIT = 6
"""What a command ends with whose call waits for people (contract 5)."""


OWN_CONFIRMATION = "your own confirmation"


def whom(approvers: Sequence[str]) -> str:
    """Who is waited for, for whoever asked."""
    if approvers[:1] != (REQUESTER,):
        return " or ".join(approvers)
    return ", then ".join(filter(None, (OWN_CONFIRMATION, " or ".join(approvers[1:]))))


@dataclass(frozen=True, slots=True)
class PendingView:
    """The wire form of a call that waits for people (`structuredContent.guard`, contract 4).

    `told` is as much of the decision as may be told (`model.disclosure`): without `then`, nothing of whom it waits for.
    """

    call: str
    told: Mapping[str, object]
    task: str
    approval: str
    approvers: tuple[str, ...]
    expires_at: datetime

    def as_dict(self) -> dict[str, object]:
        view: dict[str, object] = {
            "code": "approval_pending",
            **{name: self.told[name] for name in ("effect", "rule", "reason") if name in self.told},
            "call": self.call,
            "executed": "no",
            "retry": "never",
            "task_id": self.task,
            "approval_id": self.approval,
            "expires_at": self.expires_at.isoformat(timespec="seconds"),
            "next": {"tool": "task_status", "arguments": {"task_id": self.task, "wait_s": 25}},
        }
        if "then" in self.told:
            view["approvers"] = list(self.approvers)
        return view

    def as_text(self) -> str:
        """`NOT EXECUTED` first: whoever reads only the beginning must not take it for done."""
        own = self.approvers[:1] == (REQUESTER,)
        if "then" in self.told:
            waits = whom(self.approvers) + ("" if own else " to approve")
        else:
            waits = OWN_CONFIRMATION if own else "somebody to approve"
        person = f"The person you act for can confirm it with `mcp-guard approvals approve {self.approval}`. "
        rule = f" (rule {self.told['rule']})" if "rule" in self.told else ""
        until = self.expires_at.isoformat(timespec="minutes")
        return (
            f"NOT EXECUTED: waiting for {waits}, until {until}: {self.told['reason']}{rule}. {person if own else ''}"
            f"Ask task_status about task {self.task}; do not call the tool again."
        )


WORKING = "task_working"
"""The code of a workflow that has begun and not ended; not an error."""


@dataclass(frozen=True, slots=True)
class WorkingView:
    """The wire form of a workflow that has begun and not ended (`structuredContent.guard`)."""

    call: str
    task: str
    message: str = "it has begun"

    def as_dict(self) -> dict[str, object]:
        return {
            "code": WORKING,
            "reason": self.message,
            "call": self.call,
            "executed": "unknown",
            "retry": "never",
            "task_id": self.task,
            "next": {"tool": "task_status", "arguments": {"task_id": self.task, "wait_s": 25}},
        }

    def as_text(self) -> str:
        """`NOT FINISHED` first: whoever reads only the beginning must not take it for done."""
        return f"NOT FINISHED: {self.message}. Ask task_status about task {self.task}; do not call the tool again."


@dataclass(frozen=True, slots=True)
class RefusalView:
    """The wire form of a refusal (`structuredContent.guard`)."""

    code: Code
    reason: str
    call: str
    executed: Executed
    retry: Retry
    effect: str | None = None
    rule: str | None = None
    retry_after_s: int | None = None
    connect: Mapping[str, object] | None = None

    @classmethod
    def of(cls, refusal: Refused, call: str) -> "RefusalView":
        """A refusal as the caller of `call` is told it."""
        return cls(
            code=refusal.code,
            reason=refusal.reason,
            call=call,
            executed=refusal.executed,
            retry=refusal.retry,
            effect=refusal.effect,
            rule=refusal.rule,
            retry_after_s=refusal.retry_after_s,
            connect=refusal.connect if isinstance(refusal, NotConnected) else None,
        )

    def as_dict(self) -> dict[str, object]:
        view: dict[str, object] = {
            "code": self.code,
            "reason": self.reason,
            "call": self.call,
            "executed": self.executed,
            "retry": self.retry,
        }
        for name in ("effect", "rule", "retry_after_s", "connect"):
            value = getattr(self, name)
            if value is not None:
                view[name] = value
        return view

    def as_text(self) -> str:
        """`denied: …` for what was decided against, `failed: …` for what went wrong."""
        rule = f" (rule {self.rule})" if self.rule else ""
        return f"{'failed' if self.code in FAILURES else 'denied'}: {self.reason}{rule}"
