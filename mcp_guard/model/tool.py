"""A tool as it is served: immutable, compiled from a manifest, fingerprinted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from mcp_guard.model.decision import Escalation
from mcp_guard.model.limit import Cost, Limit
from mcp_guard.model.oauth import OAuthSpec

Effects = Literal["none", "idempotent", "once"]
JustificationMode = Literal["none", "optional", "required"]
Mode = Literal["enforce", "observe"]
RetryOn = Literal["timeout", "connect", "429", "5xx"]

LATER: Final[Mapping[str, object]] = {"later": True}
"""Of a field that tools could not have at first. A tool where it says nothing is what it was then: the fingerprint
leaves it out, so that an upgrade ends no parked call."""


@dataclass(frozen=True, slots=True)
class SqlSpec:
    """Fixed text with `:name` parameters on one SQLite file (absolute path). `max_rows` bounds what is returned."""

    kind: Literal["sql"]
    path: str
    readonly: bool
    statement: str
    max_rows: int


@dataclass(frozen=True, slots=True)
class PostgresSpec:
    """Fixed text with `$1`, `$2`, … for `parameters` on a PostgreSQL database.

    `password` is a reference to a secret; `ca` (absolute path) holds the authorities instead of the system's, where
    there is `tls`. `max_rows` bounds what is returned.
    """

    kind: Literal["sql"]
    host: str
    port: int
    user: str
    database: str
    password: str | None
    tls: bool
    ca: str | None
    readonly: bool
    statement: str
    parameters: tuple[str, ...]
    max_rows: int


@dataclass(frozen=True, slots=True)
class Pages:
    """An answer of several pages. `next` is a JSON pointer, or `link` for the header of that name (RFC 8288): a cursor
    for the query `parameter`, or without one an address on the same origin. `items` is a pointer to the list of a page;
    at `most` so many pages are read."""

    next: str
    parameter: str
    items: str
    most: int


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """Files (PEM, absolute paths) of a tool's TLS: the authorities it trusts instead of the usual ones, and the
    certificate it shows with its key, which may be written as `${file:PATH}`."""

    ca: str | None
    cert: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file that is sent: `path` (a template) below the directory `within` (absolute), of at most `max_bytes`."""

    path: str
    within: str
    media_type: str
    max_bytes: int


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """One request. Templates are placed by position: path segment, query value, header value, JSON value, form field.

    There is at most one of `json` (where `has_json`), `form`, `body`, a text of `content_type`, `file` and `multipart`.
    Header values may hold secret references. `networks` are the private networks this tool may reach (CIDR).
    `max_bytes` caps the response body. With `trace` the upstream is told the caller's trace (`traceparent`). `select`
    names the parts of an answer that are the result: one JSON pointer, or names and pointers. With `media` an answer is
    of one of these types and becomes a content block.
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
    form: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)
    body: str = field(default="", metadata=LATER)
    content_type: str = field(default="", metadata=LATER)
    select: str | tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)
    pages: Pages | None = field(default=None, metadata=LATER)
    tls: TlsSpec | None = field(default=None, metadata=LATER)
    media: tuple[str, ...] = field(default=(), metadata=LATER)
    file: FileSpec | None = field(default=None, metadata=LATER)
    multipart: tuple[tuple[str, str | FileSpec], ...] = field(default=(), metadata=LATER)

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """The files it sends."""
        parts = tuple(part for _, part in self.multipart if isinstance(part, FileSpec))
        return parts if self.file is None else (self.file, *parts)

    oauth: OAuthSpec | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What a program may use: seconds of processor time, bytes of address space and of any file it writes, and how many
    files and processes at a time."""

    cpu: int
    memory: int = 2 * 1024**3
    file_size: int = 64 * 1024**2
    open_files: int = 256
    processes: int = 64


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A process for each call of a function: an absolute directory or an empty one of its own, variables (values may be
    references to secrets), limits. So many as are `warm` are started before their call comes."""

    cwd: str | None
    env: tuple[tuple[str, str], ...]
    limits: ProcessLimits
    warm: int = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True)
class PythonSpec:
    """An importable function, `module:function`; arguments by keyword. Coroutine functions are awaited.

    The arguments named by `built` are made into the dataclasses the function is annotated with. Without `worker` it
    runs inside the server.
    """

    kind: Literal["python"]
    function: str
    built: tuple[str, ...] = field(default=(), metadata=LATER)
    worker: WorkerSpec | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox around a program: sees the system read-only and nothing else of the machine. With `network` it has the
    machine's network; with `writes` it may write the directories it is given."""

    kind: Literal["bubblewrap"]
    network: bool
    writes: bool


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A program (absolute path) and its arguments, never a shell. Elements of `argv` behind the first are templates.

    `cwd` is an absolute path, or `None` for an empty directory of each call's own. Values of `env` may be references to
    secrets. `within` names arguments that are paths below a directory, `allow_dash` those that may look like options.
    Without `ok_exits` any exit status is a result. `max_bytes` caps each output; `sha256` pins the program's content.
    """

    kind: Literal["command"]
    program: str
    argv: tuple[str, ...]
    cwd: str | None
    env: tuple[tuple[str, str], ...]
    within: tuple[tuple[str, str], ...]
    allow_dash: tuple[str, ...]
    ok_exits: tuple[int, ...] | None
    max_bytes: int
    limits: ProcessLimits
    sandbox: Sandbox | None = None
    sha256: str | None = None


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
class Probe:
    """How to find out whether a call took effect, where the process that made it died: a call without effects.

    `done` is a look-up into its answer: true or 1 is yes, false or 0 is no, anything else is no answer. `output` says
    what the probed call gave, from that answer (all of it where nothing is said). It is asked `settle` seconds after
    the crash was found: by then the request that is asked about must have been carried out, or never will be.
    """

    call: CallStep
    done: str
    output: Mapping[str, object] | None
    settle: float


@dataclass(frozen=True, slots=True)
class ApproveStep:
    """A step of a workflow that asks people. `expires` is in seconds; `summary` holds templates; `assurance` is how
    surely whoever decides has to be known, empty where it does not matter."""

    id: str
    approvers: tuple[str, ...]
    not_requester: bool
    quorum: int
    expires: float
    summary: str
    when: str | None = None
    escalate: Escalation | None = field(default=None, metadata=LATER)
    assurance: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """Steps in order, what they make together (`output`, templates), and how long it may take (seconds)."""

    kind: Literal["workflow"]
    deadline: float
    steps: tuple[CallStep | ApproveStep, ...]
    output: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Elicitation:
    """A server may have a person asked during a call, `most` times, for `wait` seconds each. `sensitive` are JSON
    pointers into answers."""

    wait: float
    most: int
    sensitive: tuple[str, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Another MCP server, and how it is reached: a program (`argv`) or an address (`url`), never both.

    `variables` are the whole environment of the program beside the few every program needs; they and `headers` may hold
    secret references. `networks` are the private networks that may be reached for it (CIDR). `start` is in seconds and
    `max_bytes` bounds one message of it. With `oauth` each principal has a session of their own, with their own token.
    Without `elicitation` nobody is asked anything on its behalf.
    """

    name: str
    argv: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]
    url: str
    headers: tuple[tuple[str, str], ...]
    networks: tuple[str, ...]
    start: float
    max_bytes: int
    oauth: OAuthSpec | None = field(default=None, metadata=LATER)
    elicitation: Elicitation | None = field(default=None, metadata=LATER)


Primitive = Literal["tool", "resource", "template", "prompt"]
"""What an MCP server offers: tools by name, resources by URI, templates of URIs (RFC 6570), prompts by name."""
PRIMITIVES: Final[tuple[Primitive, ...]] = get_args(Primitive)
TOOLS: Final[tuple[Primitive, ...]] = ("tool",)
Method = Literal["tools/call", "resources/read", "prompts/get"]
"""The request by which a client makes a call of something."""
METHODS: Final[Mapping[Primitive, Method]] = {
    "tool": "tools/call",
    "resource": "resources/read",
    "template": "resources/read",
    "prompt": "prompts/get",
}
OBJECTS: Final[Mapping[Primitive, str]] = {
    "tool": "",
    "resource": "resource:",
    "template": "resource:",
    "prompt": "prompt:",
}
"""What names begin with that policy, records and limits know things by. No tool's name holds a colon."""


def definition(listed: Mapping[str, object], primitive: Primitive = "tool") -> dict[str, object]:
    """What counts of something as another server lists it: all an agent is shown, and all that decides what a call is.

    What a resource holds, how large it is and when it was changed are no part of it.
    """
    return {part: listed[part] for part in _DEFINITION[primitive] if listed.get(part) is not None}


def uri_here(upstream: str, uri: str) -> str:
    """The URI here of what is at a URI of another server. The name of a server holds no `+`, and no scheme of the guard
    does: no two of these are alike, and none is the guard's own."""
    return f"{upstream}+{uri}"


_RESOURCE = ("name", "title", "description", "mimeType")
_DEFINITION: Final[Mapping[Primitive, tuple[str, ...]]] = {
    "tool": ("title", "description", "inputSchema", "outputSchema", "annotations"),
    "resource": _RESOURCE,
    "template": _RESOURCE,
    "prompt": ("title", "description", "arguments"),
}


@dataclass(frozen=True, slots=True)
class McpSpec:
    """Something of another MCP server; a tool where `offers` says nothing.

    `tool` is what it is called there: a name, a URI or a template. `definition` is the sha256 (hex) of what was said of
    it when it was locked, `mime` the type it was said to have, and `deny` are patterns of URIs that are not read
    through a template.
    """

    kind: Literal["mcp"]
    upstream: Upstream
    tool: str
    definition: str
    offers: Primitive | None = field(default=None, metadata=LATER)
    mime: str = field(default="", metadata=LATER)
    deny: tuple[str, ...] = field(default=(), metadata=LATER)

    @property
    def primitive(self) -> Primitive:
        return self.offers or "tool"


@dataclass(frozen=True, slots=True)
class QuarantinedSpec:
    """A tool that is not any more what somebody let in. Nothing carries it out; `reason` says why."""

    kind: Literal["quarantined"]
    reason: str


ConnectorSpec = SqlSpec | PostgresSpec | HttpSpec | PythonSpec | CommandSpec | WorkflowSpec | McpSpec | QuarantinedSpec


def secret_texts(spec: ConnectorSpec) -> tuple[str, ...]:
    """The texts of a specification in which references to secrets may stand."""
    if isinstance(spec, HttpSpec):
        key = (spec.tls.key,) if spec.tls is not None and spec.tls.key is not None else ()
        return (*(text for _, text in spec.headers), *key, *_of_client(spec.oauth))
    if isinstance(spec, CommandSpec):
        return tuple(text for _, text in spec.env)
    if isinstance(spec, PostgresSpec) and spec.password is not None:
        return (spec.password,)
    if isinstance(spec, PythonSpec) and spec.worker is not None:
        return tuple(text for _, text in spec.worker.env)
    if isinstance(spec, McpSpec):
        upstream = spec.upstream
        return (*(text for _, text in (*upstream.variables, *upstream.headers)), *_of_client(upstream.oauth))
    return ()


def _of_client(oauth: OAuthSpec | None) -> tuple[str, ...]:
    return () if oauth is None or oauth.client_secret is None else (oauth.client_secret,)


@dataclass(frozen=True, slots=True)
class Tool:
    """Everything the guard knows about one tool.

    `input_schema` is what clients see and send; `arguments_schema` is the same without the justification. Arguments
    the guard fills in (`bind`) are in neither. `timeout` (seconds) is for one attempt. `sensitive` are JSON
    pointers into arguments or result. `labels` say what its results bring along (`untrusted`, `pii`, …).
    Where `mode` is `observe`, what policy says is recorded and nothing it denies is stopped. A call of a `long_running`
    one is a task of one step. `cost` is what a call costs, `limits` what holds for the tool whoever calls it. An answer
    carries `largest_answer` bytes of a result (the home's say where nothing is said); of a larger one it shows the
    beginning and the rest is kept, unless the tool `refuses_larger`.
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
    probe: Probe | None = field(default=None, metadata=LATER)
    long_running: bool = field(default=False, metadata=LATER)
    cost: Cost | None = field(default=None, metadata=LATER)
    limits: tuple[Limit, ...] = field(default=(), metadata=LATER)
    largest_answer: int | None = field(default=None, metadata=LATER)
    refuses_larger: bool = field(default=False, metadata=LATER)

    @property
    def oauth(self) -> OAuthSpec | None:
        """Whose token a call carries, where the upstream has accounts: the caller's own for this."""
        connector = self.connector
        if isinstance(connector, McpSpec):
            return connector.upstream.oauth
        return connector.oauth if isinstance(connector, HttpSpec) else None

    @property
    def becomes_task(self) -> bool:
        """Whether a call that may begin at once begins as a task, and outlives its request and this process."""
        return self.long_running or isinstance(self.connector, WorkflowSpec)

    @property
    def gives_blocks(self) -> bool:
        """Whether `{"content": [...]}` of it are content blocks of MCP."""
        connector = self.connector
        if isinstance(connector, McpSpec):
            return connector.primitive == "tool"
        return isinstance(connector, HttpSpec) and connector.media != ()

    @property
    def primitive(self) -> Primitive:
        """What clients know it as: a tool, unless it is another server's and something else there."""
        return self.connector.primitive if isinstance(self.connector, McpSpec) else "tool"

    @property
    def method(self) -> Method:
        """How clients call it."""
        return METHODS[self.primitive]

    @property
    def patience(self) -> float:
        """Seconds that people may take during one call beside its time: those a server may have asked something."""
        spec = self.connector
        asks = spec.upstream.elicitation if isinstance(spec, McpSpec) else None
        return 0.0 if asks is None else asks.wait * asks.most

    @property
    def observed(self) -> bool:
        """Whether policy is asked and recorded but not obeyed."""
        return self.mode == "observe"
