"""A task: one call, or a workflow of calls, that goes on after its request was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcp_guard.kit import strict_json
from mcp_guard.model.moves import StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import ApproveStep, CallStep, WorkflowSpec
from mcp_guard.model.trace import Trace, parse
from mcp_guard.tasks import plan


@dataclass(frozen=True, slots=True)
class Content:
    """What a task is about, kept encrypted: who acts, and the bound arguments it executes from.

    Nothing is ever taken from a message that comes later. `fingerprint` is of the tool as it was asked for. `workflow`
    is its plan; a task without one is a single call. `call` is the id of the call that asked for it, `at` when it did
    (unix µs): nothing is on record of it from before. `redact` are the places of a workflow's output that policy hid
    then.
    """

    principal: Principal
    arguments: Mapping[str, object]
    fingerprint: str
    justification: str | None = None
    trace: Trace | None = None
    workflow: WorkflowSpec | None = None
    call: str = ""
    at: int = 0
    redact: tuple[str, ...] = ()

    def as_bytes(self) -> bytes:
        return strict_json.dumps(
            {
                "who": self.principal.as_kept(),
                "args": dict(self.arguments),
                "fp": self.fingerprint,
                "why": self.justification,
                "trace": None if self.trace is None else self.trace.onward(),
                "plan": None if self.workflow is None else plan.as_json(self.workflow),
                "call": self.call,
                "at": self.at,
                **({"redact": list(self.redact)} if self.redact else {}),
            }
        )

    @classmethod
    def of_bytes(cls, data: bytes) -> "Content":
        found = strict_json.loads(data)
        assert isinstance(found, dict)
        principal = Principal.of_kept(found["who"])
        steps = found.get("plan")
        workflow = None if steps is None else plan.of_json(steps)
        trace = parse(found["trace"])
        call, at, redact = found.get("call", ""), found.get("at", 0), tuple(found.get("redact", ()))
        return cls(principal, found["args"], found["fp"], found["why"], trace, workflow, call, at, redact)


@dataclass(frozen=True, slots=True)
class Task:
    """A task as its row says. Times are unix µs; `wake_at` is `None` while only a person can move it.

    `owner` is the boot id of the process that works on it. `sealed` and `result` are encrypted.
    """

    id: str
    tool: str
    status: TaskStatus
    subject: str
    client: str
    tenant: str
    sealed: bytes = field(repr=False)
    result: bytes | None = field(repr=False)
    message: str
    created_at: int
    updated_at: int
    wake_at: int | None
    owner: str | None

    @property
    def is_erased(self) -> bool:
        """Whether what it was about and what it brought were overwritten."""
        return not any(self.sealed)

    def belongs_to(self, principal: Principal) -> bool:
        """Whether it is the principal's own. Another agent of the same person asked for other things."""
        return (self.subject, self.client, self.tenant) == (principal.subject, principal.client, principal.tenant)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `call` is the id of its newest attempt, `code` why that failed. `seal` is the engine's (`is_own`)."""

    id: str
    state: StepState
    attempt: int = 0
    call: str | None = None
    code: str | None = None
    result: bytes | None = field(default=None, repr=False)
    updated_at: int = 0
    seal: str = field(default="", repr=False, compare=False)

    def as_dict(self) -> dict[str, object]:
        """The shape of `tasks show` (contract section 5)."""
        shown: dict[str, object] = {"id": self.id, "state": self.state.value, "attempt": self.attempt}
        if self.call is not None:
            shown["call"] = self.call
        if self.code is not None:
            shown["code"] = self.code
        return shown


def deadline_of(task: Task, content: Content) -> int | None:
    """When a task must have ended (unix µs); only a workflow has one."""
    plan = content.workflow
    return None if plan is None else task.created_at + round(plan.deadline * 1_000_000)


def step_of(task: Task, content: Content, identifier: str) -> CallStep | ApproveStep:
    """A step of a task as it is to be carried out; the call itself where a task is one."""
    if identifier == plan.CALL or content.workflow is None:
        return CallStep(plan.CALL, task.tool, {}, fingerprint=content.fingerprint)
    found = plan.step_of(content.workflow, identifier)
    assert found is not None, "a journal holds steps of its plan"
    return found
