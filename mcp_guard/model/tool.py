"""A tool as it is served: immutable, compiled from a manifest, fingerprinted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mcp_guard.model.decision import Escalation

Effects = Literal["none", "idempotent", "once"]
JustificationMode = Literal["none", "optional", "required"]
Mode = Literal["enforce", "observe"]
RetryOn = Literal["timeout", "connect", "429", "5xx"]


@dataclass(frozen=True, slots=True)
class SqlSpec:
    """Fixed text with `:name` parameters on one SQLite file (absolute path). `max_rows` bounds what is returned."""

    kind: Literal["sql"]
    path: str
    readonly: bool
    statement: str
    max_rows: int


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """One request. Templates are placed by position: path segment, query value, header value, JSON value.

    Header values may hold secret references. `networks` are the private networks this tool may reach (CIDR).
    `max_bytes` caps the response body. With `trace` the upstream is told the caller's trace (`traceparent`).
    """

    kind: Literal["http"]
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...]
    json: object
    has_json: bool
    networks: tuple[str, ...]
    max_bytes: int
    trace: bool = False


@dataclass(frozen=True, slots=True)
class PythonSpec:
    """An importable function, `module:function`; arguments by keyword. Coroutine functions are awaited."""

    kind: Literal["python"]
    function: str


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` counts the first one. Times are in seconds."""

    attempts: int = 1
    retry_on: frozenset[RetryOn] = frozenset()
    backoff: float = 0.2
    max_backoff: float = 5.0


@dataclass(frozen=True, slots=True)
class CallStep:
    """A step of a workflow that calls a tool. `arguments` and `when` hold templates (`kit.lookup`).

    `fingerprint` is of the tool as it was when the workflow was compiled: a task executes nothing else. `undo` is what
    takes the step back where the workflow fails later."""

    id: str
    tool: str
    arguments: Mapping[str, object]
    when: str | None = None
    retry: Retry = Retry()
    undo: "CallStep | None" = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ApproveStep:
    """A step of a workflow that asks people. `expires` is in seconds; `summary` holds templates."""

    id: str
    approvers: tuple[str, ...]
    not_requester: bool
    quorum: int
    expires: float
    summary: str
    when: str | None = None
    escalate: Escalation | None = None


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """Steps in order, what they make together (`output`, templates), and how long it may take (seconds)."""

    kind: Literal["workflow"]
    deadline: float
    steps: tuple[CallStep | ApproveStep, ...]
    output: Mapping[str, object]


ConnectorSpec = SqlSpec | HttpSpec | PythonSpec | WorkflowSpec


@dataclass(frozen=True, slots=True)
class Tool:
    """Everything the guard knows about one tool.

    `input_schema` is what clients see and send; `arguments_schema` is the same without the justification. Arguments
    the guard fills in (`bind`) are in neither. `timeout` (seconds) is for one attempt. `sensitive` are JSON
    pointers into arguments or result. `labels` say what its results bring along (`untrusted`, `pii`, …).
    Where `mode` is `observe`, what policy says is recorded and nothing it denies is stopped. A call of a `long_running`
    one is a task of one step.
    `fingerprint` is the sha256 of everything that decides what executes.
    """

    name: str
    title: str | None
    description: str
    annotations: Mapping[str, object]
    tags: tuple[str, ...]
    effects: Effects
    scopes: frozenset[str]
    input_schema: Mapping[str, object]
    arguments_schema: Mapping[str, object]
    output_schema: Mapping[str, object] | None
    bind: Mapping[str, str]
    sensitive: tuple[str, ...]
    timeout: float
    retry: Retry
    idempotency_header: str | None
    justification: JustificationMode
    connector: ConnectorSpec
    fingerprint: str
    labels: tuple[str, ...] = ()
    mode: Mode = "enforce"
    long_running: bool = False

    @property
    def becomes_task(self) -> bool:
        """Whether a call that may begin at once begins as a task, and outlives its request and this process."""
        return self.long_running or isinstance(self.connector, WorkflowSpec)

    @property
    def observed(self) -> bool:
        """Whether policy is asked and recorded but not obeyed."""
        return self.mode == "observe"
