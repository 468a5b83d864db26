"""A manifest file as it is written (contract section 2): the one place where pydantic meets tools.

Every key of the contract is known here. Keys this version does not enforce are listed as `unsupported`, so they are
refused with that code, never ignored. Field names that exist on the MCP wire keep their wire spelling.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from mcp_guard.kit import references
from mcp_guard.manifest.fields import (
    AnswerSize,
    Duration,
    Label,
    Matching,
    Scope,
    Size,
    Strict,
    Tag,
    ToolName,
    Word,
)
from mcp_guard.manifest.files import FileName, MediaType, Upload, Uploading
from mcp_guard.manifest.limits import CostRule, ToolLimits
from mcp_guard.manifest.offers import Offers
from mcp_guard.model.tool import Effects, JustificationMode, Mode, RetryOn

Binding = Annotated[
    str,
    Matching(
        r"^principal\.(subject|client|tenant|attributes\.[a-zA-Z_][a-zA-Z0-9_]{0,62})$",
        "principal.subject, principal.client, principal.tenant or principal.attributes.NAME",
    ),
]
HeaderName = Annotated[str, Matching(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", "a header name (RFC 9110 section 5.1)")]
Function = Annotated[
    str,
    Matching(
        r"^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*:[a-zA-Z_][a-zA-Z0-9_]*$",
        "an import path such as support_desk.tools:send_mail",
    ),
]
Approver = Annotated[
    str, Matching(r"^(role|user):[a-zA-Z0-9][a-zA-Z0-9._@-]{0,126}$", "somebody such as role:manager or user:bob")
]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Media = Literal[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "audio/wav",
    "audio/mpeg",
    "audio/ogg",
    "audio/flac",
    "application/pdf",
]
JsonSchema = dict[str, Any]
Glob = Annotated[str, Matching(r"^[A-Za-z0-9_./*-]{1,128}$", "the name of a tool; * stands for any characters")]
ApiMethod = Literal["get", "head", "post", "put", "patch", "delete"]
SecretReference = Annotated[str, Matching(references.WHOLE_REFERENCE, "a reference such as ${secret:petstore}")]
OAuthScope = Annotated[str, Matching(r"^[!#-\[\]-~]{1,128}$", 'a scope: printable ASCII without space, " and \\')]
Labels = Annotated[list[Word], Field(max_length=16)]


class Annotations(Strict):
    """Hints for clients, as on the wire. They never grant anything."""

    title: Text | None = None
    readOnlyHint: bool | None = None
    destructiveHint: bool | None = None
    idempotentHint: bool | None = None
    openWorldHint: bool | None = None


class RetryRule(Strict):
    """`attempts` counts the first one. A bare 429 is an integer in YAML, and means the same."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    retry_on: list[Literal[RetryOn, 429]] = Field(default=["timeout", "connect", "429", "5xx"], min_length=1)
    backoff: Duration = "200ms"
    max_backoff: Duration = "5s"


class Idempotency(Strict):
    """The header that carries one key over all attempts of a call."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"key", "window"})
    header: HeaderName


class Egress(Strict):
    """Private networks (CIDR) this tool may reach besides public addresses."""

    networks: list[str] = Field(default=[])


def _is_select(value: Any) -> Any:
    names = value.items() if isinstance(value, dict) and 0 < len(value) <= 64 else ()
    if isinstance(value, str) or (names and all(isinstance(text, str) for pair in names for text in pair)):
        return value
    raise PydanticCustomError("expected", "expected {expected}", {"expected": "a JSON pointer, or names with pointers"})


Select = Annotated[
    Any,
    AfterValidator(_is_select),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}]}),
]


class Paging(Strict):
    """An answer of several pages, read one after the other and given as `items` and `truncated`."""

    next: Annotated[str, Field(max_length=1024)] = Field(
        description="A JSON pointer to what leads to the next page, or `link` for the header Link with rel=next."
    )
    parameter: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None, alias="as", description="The query parameter for a cursor; else next leads to an address."
    )
    items: Annotated[str, Field(max_length=1024)] = Field(description="A JSON pointer to the list of a page.")
    most: Annotated[int, Field(ge=1, le=100)] = Field(default=10, description="The most pages that are read.")


class HttpTls(Strict):
    """Files (PEM). Whatever is said here, the server's certificate and name are verified."""

    ca: FileName | None = Field(default=None, description="The authorities to trust instead of the usual ones.")
    cert: FileName | None = Field(default=None, description="The certificate to show to the server, with its chain.")
    key: FileName | None = Field(
        default=None, description="The key of `cert`: a file of mode 0600, or a reference such as ${file:/PATH}."
    )


class OAuthRule(Strict):
    """How the access tokens of people are got (OAuth 2.1)."""

    issuer: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="Exactly as the issuer names itself; else the upstream names it (RFC 9728)."
    )
    resource: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="What tokens are asked for (RFC 8707); of an upstream its url, where nothing is said."
    )
    scopes: Annotated[list[OAuthScope], Field(max_length=64)] = Field(default=[])
    client_id: Annotated[str, Matching(r"^[!-~]{1,512}$", "an id without spaces")] | None = Field(
        default=None, description="The guard's at the issuer; else the address of its client metadata document."
    )
    client_secret: SecretReference | None = None
    egress: Egress = Field(default=Egress(), description="Private networks the issuer may be on.")


class ServiceEntry(Strict):
    """A service at which people have accounts, for http tools of this file: `service: NAME` in their request."""

    name: Annotated[str, Matching(r"^[a-z][a-z0-9]{0,23}$", "a short name of lower-case letters and digits")]
    auth: Literal["oauth"]
    oauth: OAuthRule


class Http(Strict):
    """One request. Arguments are placed by position: `{name}`."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Annotated[str, Field(min_length=1, max_length=2048)]
    headers: dict[str, str] = Field(default={})
    query: dict[str, str] = Field(default={})
    body: Any = Field(default=None, alias="json", description="The JSON body; a lone {name} keeps its type.")
    form: dict[str, str] | None = Field(
        default=None, min_length=1, description="The fields of a form body (application/x-www-form-urlencoded)."
    )
    text: Annotated[str, Field(min_length=1, max_length=65536)] | None = Field(
        default=None, alias="body", description="The body as text; within a longer text an argument is a single line."
    )
    content_type: MediaType | None = Field(
        default=None, description="What `body` is; text/plain in UTF-8 where nothing is said."
    )
    file: Upload | None = Field(default=None, description="The body is a file.")
    multipart: dict[str, str | Upload] | None = Field(
        default=None, min_length=1, description="The parts of a multipart/form-data body: texts and files."
    )
    select: Select = Field(default=None, description="What of the answer is the result, by JSON pointers.")
    pages: Paging | None = None
    media: Annotated[list[Media], Field(min_length=1)] | None = Field(
        default=None, description="The answer is a picture, sound or document of one of these types."
    )
    tls: HttpTls | None = Field(default=None, description="Authorities and a client certificate of the tool's own.")
    service: Annotated[str, Field(max_length=24)] | None = Field(
        default=None, description="The service whose account of the caller is used; see services."
    )
    egress: Egress = Egress()
    max_output: Size = "1MiB"
    trace: bool = Field(default=False, description="Send the caller's W3C trace on: `traceparent`.")


class Sql(Strict):
    """Fixed text with `:name` parameters on one SQLite file of the home, or on PostgreSQL."""

    database: Annotated[
        str,
        Field(min_length=1, max_length=1024, description="sqlite:PATH, or postgresql://USER@HOST:PORT/DATABASE"),
    ]
    password: str | None = Field(default=None, description="A reference such as ${secret:orders_db}.")
    tls: Literal["verify", "off"] | None = Field(
        default=None, description="verify (the usual): certificate and host name; off is usual on loopback only."
    )
    ca: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="A file with the authority's certificates, instead of the system's."
    )
    readonly: bool = True
    statement: Annotated[str, Field(min_length=1, max_length=65536)]
    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 100


class ProcessLimitsEntry(Strict):
    """What a process may use. `cpu` is the tool's timeout where nothing is said."""

    cpu: Duration | None = None
    memory: Size = "2GiB"
    file_size: Size = "64MiB"
    open_files: Annotated[int, Field(ge=8, le=65_536)] = 256
    processes: Annotated[int, Field(ge=1, le=4096)] | None = None


class Python(Strict):
    """A function, called with the arguments by keyword."""

    function: Function
    worker: bool = Field(default=False, description="Each call runs in a process of its own.")
    cwd: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="The worker's directory. Without it each call has an empty one."
    )
    env: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default={}, description="The worker's variables.")
    limits: ProcessLimitsEntry | None = Field(default=None, description="What a worker may use.")
    warm: Annotated[int, Field(ge=0, le=8)] = Field(default=0, description="So many workers wait for the next calls.")


class Command(Strict):
    """A program and its arguments, never a shell. Arguments are placed by element: `{name}`."""

    argv: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=256)]
    cwd: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="A directory, from the home or absolute. Without it each call has an empty one."
    )
    env: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default={}, description="The whole environment.")
    within: dict[str, str] = Field(default={}, description="Arguments that are paths below a directory.")
    allow_dash: list[str] = Field(default=[], description="Arguments whose value may look like an option.")
    ok_exits: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1)] | None = Field(
        default=None, description="Other exit statuses are failures. Without it every one is a result."
    )
    max_output: Size = "64KiB"
    limits: ProcessLimitsEntry = ProcessLimitsEntry()
    sandbox: Literal["bubblewrap"] | None = None
    network: bool = Field(default=False, description="Whether the sandbox has the network.")
    sha256: Annotated[str, Matching(r"^[0-9a-f]{64}$", "a SHA-256 in hex")] | None = None


class Compensation(Strict):
    """The call that takes a step back where the workflow fails after it."""

    call: ToolName
    arguments: dict[str, Any] = Field(default={}, alias="with")
    retry: RetryRule | None = None


class Escalating(Strict):
    """Who may decide as well, once nobody has for that long."""

    to: Annotated[list[Approver], Field(min_length=1, max_length=16)]
    after: Duration


class Probing(Strict):
    """The call that finds out whether this one took effect, where the process that made it died."""

    call: ToolName
    arguments: dict[str, Any] = Field(default={}, alias="with", description="Look-ups: {input.NAME} and {call.key}.")
    done: str = Field(description="One look-up into the answer: true or 1 is yes, false or 0 is no.")
    output: dict[str, Any] | None = Field(default=None, description="What this call gave, from {result.…}.")
    settle: Duration = Field(default="30s", description="How long after a crash a request may still be carried out.")
    retry: RetryRule | None = None


class Asking(Strict):
    """A question to people: to `approvers`, to whoever called the workflow (`confirm`), or to both in turn. `expires`
    without a decision fails the step."""

    approvers: Annotated[list[Approver], Field(max_length=16)] = Field(default=[])
    confirm: Literal["requester"] | None = None
    excluded: Literal["requester"] | None = Field(default=None, alias="not")
    quorum: Annotated[int, Field(ge=1, le=16)] = 1
    expires: Duration = "1d"
    escalate: Escalating | None = None
    assurance: Literal["token", "oidc", "signed"] | None = Field(
        default=None, description="How surely those who decide have to be known: decisions of others do not count."
    )
    summary: Annotated[str, Field(min_length=1, max_length=1024)]


class WorkflowStep(Strict):
    """A step. Exactly one of `call` and `approve` says what it is."""

    id: Annotated[str, Matching(r"^[a-z][a-z0-9_]{0,31}$", "a name of lower-case letters, digits and _, at most 32")]
    call: ToolName | None = None
    arguments: dict[str, Any] | None = Field(default=None, alias="with")
    approve: Asking | None = None
    when: str | None = Field(default=None, description="Skipped where this look-up finds nothing, false, 0 or empty.")
    retry: RetryRule | None = None
    compensate: Compensation | None = None


class Workflow(Strict):
    """Steps that a task carries out in order, over restarts and decisions of people."""

    deadline: Duration = "1d"
    steps: Annotated[list[WorkflowStep], Field(min_length=1, max_length=64)]
    output: dict[str, Any] = Field(default={})


class LongRunning(Strict):
    """A tool whose calls take long. There is nothing to say about it yet but that it does."""


class Answered(Strict):
    """What is answered of a result. A larger one is shown by its beginning and kept, unless that is not wanted."""

    largest: AnswerSize | None = Field(default=None, description="Bytes of JSON; else as mcp-guard.yaml says.")
    keep: bool = Field(default=True, description="false: a result that is larger is refused.")


class ToolEntry(Strict):
    """One tool. Exactly one of `http`, `sql`, `python`, `command`, `workflow` says what it does."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["inputSchema"]}, {"required": ["python"]}]})
    unsupported: ClassVar[frozenset[str]] = frozenset({"version", "icons", "execution"})
    name: ToolName
    title: Text | None = None
    description: Annotated[str, Field(min_length=1, max_length=4096)]
    annotations: Annotations = Annotations()
    tags: list[Tag] = Field(default=[])
    labels: Labels = Field(default=[], description="What results bring along: untrusted, pii, secret, …")
    effects: Effects | None = Field(default=None, description="The operator's word; `once` where nothing is said.")
    scopes: list[Scope] = Field(default=[])
    inputSchema: JsonSchema | None = Field(
        default=None, description="The arguments. Only a function can be without: then its signature is read."
    )
    outputSchema: JsonSchema | None = None
    bind: dict[str, Binding] = Field(default={})
    sensitive: list[str] = Field(default=[])
    timeout: Duration | None = None
    retry: RetryRule | None = None
    idempotency: Idempotency | None = None
    probe: Probing | None = None
    justification: JustificationMode | None = None
    mode: Mode | None = Field(default=None, description="observe: policy is asked and recorded, and stops nothing.")
    cost: CostRule | None = None
    limits: ToolLimits | None = None
    task: LongRunning | None = Field(default=None, description="`{}`: a call is a durable task, whoever waits for it.")
    result: Answered | None = None
    http: Http | None = None
    sql: Sql | None = None
    python: Python | None = None
    command: Command | None = None
    workflow: Workflow | None = None


class Override(Strict):
    """What a tool of another server is here. What is not said is what the server said when it was locked."""

    title: Text | None = None
    description: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    annotations: Annotations | None = None
    tags: list[Tag] = Field(default=[])
    labels: Labels = Field(default=[])
    effects: Effects | None = None
    scopes: list[Scope] = Field(default=[])
    inputSchema: JsonSchema | None = Field(default=None, description="Narrower than the server's; it still checks too.")
    bind: dict[str, Binding] = Field(default={})
    sensitive: list[str] = Field(default=[])
    timeout: Duration | None = None
    retry: RetryRule | None = None
    probe: Probing | None = None
    justification: JustificationMode | None = None
    mode: Mode | None = None
    cost: CostRule | None = None
    limits: ToolLimits | None = None
    result: Answered | None = None


class ElicitationEntry(Strict):
    """Whether the server may have the person who waits for a call asked something meanwhile, in a form."""

    allow: bool
    wait: Duration = Field(default="60s", description="How long a person has for one question.")
    questions: Annotated[int, Field(ge=1, le=10)] = Field(default=3, description="How many a call may ask.")
    sensitive: list[Annotated[str, Matching(r"^(/([^/~]|~[01])*)+$", "a JSON pointer such as /name")]] = Field(
        default=[], description="Into answers: never in clear in the audit log."
    )


class UpstreamEntry(Strict):
    """Another MCP server. Those of its tools that are allowed here and locked appear as NAME_TOOL, and so do its
    resources, templates of resources and prompts."""

    name: Annotated[str, Matching(r"^[a-z][a-z0-9]{0,23}$", "a short name of lower-case letters and digits")]
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=64)] | None = None
    env: dict[str, str] = Field(default={}, description="All the program gets besides PATH, HOME and the like.")
    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    headers: dict[str, str] = Field(default={})
    auth: Literal["oauth"] | None = Field(default=None, description="Each person's own account there is used.")
    oauth: OAuthRule | None = Field(default=None, description="Beside auth: oauth; all of it can be left out.")
    egress: Egress = Egress()
    allow: Annotated[list[Glob], Field(min_length=1)] | None = Field(
        default=None, description="Tools; none without it."
    )
    deny: list[Glob] = Field(default=[])
    overrides: dict[str, Override] = Field(default={})
    resources: Offers | None = Field(default=None, description="By their URIs there; they are at NAME+URI here.")
    templates: Offers | None = Field(
        default=None, description="By template. `deny` also keeps what it names from being read."
    )
    prompts: Offers | None = None
    start: Duration = Field(default="30s", description="How long the server may take to answer for the first time.")
    elicitation: ElicitationEntry | None = Field(default=None, description="Without it nothing it asks is passed on.")
    max_output: Size = "4MiB"


class Include(Strict):
    """Which operations of a description become tools: those that every list here names. `*` stands for any
    characters."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})
    operations: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="By operationId, or METHOD_PATH where there is none."
    )
    methods: Annotated[list[ApiMethod], Field(min_length=1)] | None = None
    tags: Annotated[list[Text], Field(min_length=1)] | None = None


class ImportEntry(Strict):
    """A description of a service (OpenAPI 3.0, 3.1). Those of its operations that are included here and locked appear
    as PREFIX_OPERATION."""

    openapi: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="A file, from the home.")
    prefix: Annotated[str, Matching(r"^[a-z][a-z0-9]{0,23}$", "a short name of lower-case letters and digits")]
    include: Include
    server: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        default=None, description="The address of the service, instead of the description's."
    )
    headers: dict[str, str] = Field(default={}, description="Sent with each request; no argument takes their place.")
    security: dict[str, SecretReference] = Field(
        default={}, description="The credential of each security scheme of the description."
    )
    effects: dict[ApiMethod, Effects] = Field(
        default={}, description="The operator's word for all operations of a method."
    )
    results: Literal["described", "any"] = Field(
        default="described", description="Whether a result has to be what the description says."
    )
    uploads: Uploading | None = Field(default=None, description="Where the files are that operations send.")
    egress: Egress = Egress()
    max_output: Size = "1MiB"
    overrides: dict[str, Override] = Field(default={}, description="By operation, like include.operations.")


class Defaults(Strict):
    """What a tool of this file has where it says nothing. `scopes`, `tags` and `labels` are added."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"cost"})
    timeout: Duration = "30s"
    retry: RetryRule | None = None
    effects: Effects = "once"
    scopes: list[Scope] = Field(default=[])
    tags: list[Tag] = Field(default=[])
    labels: Labels = Field(default=[])
    justification: JustificationMode = "none"
    mode: Mode = "enforce"
    limits: ToolLimits | None = Field(default=None, description="For each tool by itself; its own ones come first.")


class File(Strict):
    """A manifest file."""

    apiVersion: Literal["mcp-guard/v1"]
    kind: Literal["Tools"]
    toolset: Label | None = Field(default=None, description="Puts the tag toolset:NAME on every tool here.")
    defaults: Defaults = Defaults()
    tools: list[ToolEntry] = Field(default=[])
    services: list[ServiceEntry] = Field(default=[])
    upstreams: list[UpstreamEntry] = Field(default=[])
    imports: list[ImportEntry] = Field(default=[])
