"""The settings of a home (contract section 1): the one place where pydantic meets `mcp-guard.yaml`.

Every key of the contract is known here; what this version does not enforce is refused as `unsupported`.
"""

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mcp_guard.config.connections import Connections
from mcp_guard.config.egress import Egress
from mcp_guard.config.results import Results
from mcp_guard.kit import references, units
from mcp_guard.manifest.fields import Duration, Label, Matching, Strict
from mcp_guard.manifest.limits import CommonLimits, limits_of
from mcp_guard.model.disclosure import Disclosure
from mcp_guard.model.limit import Limit
from mcp_guard.model.moves import ApprovalEvent
from mcp_guard.model.note import COSIGNATURE, NoteError, VerifierKey

# The audit origin is `<name>/<instance>`, and an origin is one line without white space (C2SP tlog-checkpoint).
Name = Annotated[str, Matching(r"^[a-z0-9][a-z0-9.-]{0,62}$", "a name of lower-case letters, digits, dot and dash")]
Environment = Annotated[str, Matching(r"^[a-z0-9][a-z0-9._-]{0,62}$", "a plain lower-case name")]
Subject = Annotated[str, Matching(r"^(user|service):[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}$", "user:NAME or service:NAME")]
Client = Annotated[str, Matching(r"^agent:[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}$", "agent:NAME")]
Tenant = Annotated[str, Matching(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", "a plain name of a tenant")]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_ALGORITHMS: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
TokenType = Literal["at+jwt", "jwt", "absent"]
Host = Annotated[str, Matching(r"^[A-Za-z0-9.:\[\]-]{1,255}$", "a host name or an IP address")]
AllowedHost = Annotated[str, Matching(r"^[A-Za-z0-9.:\[\]-]{1,255}$", "HOST or HOST:PORT, as in the Host header")]
Scope = Annotated[str, Matching(r"^[!#-\[\]-~]{1,128}$", 'a scope: printable ASCII without space, " and \\')]
ClaimName = Annotated[str, Matching(r"^[!-~]{1,256}$", "the name of a claim, or a JSON pointer such as /realm/roles")]
SecretReference = Annotated[
    str, Matching(references.WHOLE_REFERENCE, "a reference such as ${secret:exchange}, never the secret itself")
]
SecretName = Annotated[str, Matching(references.NAME, "the name of a secret, as in ${secret:NAME}")]
Argument = Annotated[str, Matching(r"^[^\x00]{0,4096}$", "text without NUL, at most 4096 characters")]
Variable = Annotated[str, Matching(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", "the name of a variable")]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
# YAML has lists only; kept as tuples, settings are immutable through and through. The items stay strict.
FilePaths = Annotated[tuple[FilePath, ...], Field(strict=False)]


def _expected(what: str) -> PydanticCustomError:
    return PydanticCustomError("expected", "expected {expected}", {"expected": what})


def _witness_key(text: str) -> str:
    try:
        good = VerifierKey.parse(text).kind == COSIGNATURE
    except NoteError:
        good = False
    if not good:
        raise _expected("the key that a witness prints, NAME+ID+BASE64")
    return text


def _header_value(text: str) -> str:
    try:
        parts = references.parse(text)
    except ValueError as error:
        raise _expected(str(error).removeprefix("expected ")) from None
    if not (text.isascii() and text.isprintable() and any(isinstance(part, references.Reference) for part in parts)):
        raise _expected("a header value with a reference such as ${secret:archive} in it")
    return text


WitnessKey = Annotated[str, Field(max_length=1024), AfterValidator(_witness_key)]
HeaderName = Annotated[str, Matching(r"^[A-Za-z0-9-]{1,128}$", "the name of a header")]
HeaderValue = Annotated[str, Field(max_length=4096), AfterValidator(_header_value)]


def _unsupported(what: str, hint: str) -> PydanticCustomError:
    return PydanticCustomError("unsupported", "{what} is not supported by this version", {"what": what, "hint": hint})


def _only_false(what: str) -> AfterValidator:
    def check(value: bool) -> bool:
        if value:
            raise _unsupported(what, "write false, or leave it out")
        return value

    return AfterValidator(check)


def _sqlite(text: str) -> str:
    if text.startswith(("postgresql:", "postgres:")):
        raise _unsupported("postgresql", "write sqlite:PATH")
    if not text.startswith("sqlite:") or not text.removeprefix("sqlite:"):
        raise _expected("sqlite:PATH")
    return text


def _web_address(text: str) -> str:
    """https, or http on this very machine: a credential or a key must not be readable on the way."""
    return _address(text, _WEB_ADDRESS, lambda scheme, host: scheme == "https" or (scheme == "http" and _is_here(host)))


def _open_address(text: str) -> str:
    """http or https: what is sent is public, and what comes back is signed."""
    return _address(text, _OPEN_ADDRESS, lambda scheme, _: scheme in ("http", "https"))


def _address(text: str, expected: str, may: Callable[[str, str], bool]) -> str:
    try:
        parts = urlsplit(text)
        safe = may(parts.scheme, parts.hostname or "")
        plain = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0 and not parts.fragment
    except ValueError:
        safe = plain = False
    if not (safe and plain and text.isascii() and text.isprintable() and " " not in text):
        raise _expected(expected)
    return text


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_query(text: str) -> str:
    if "?" in text or '"' in text:
        raise _expected("an address without a query")
    return text


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise _expected("at least one of these")
    return values


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError:
        network = None
    if network is None or network.prefixlen == 0:
        raise _expected("a network such as 10.20.0.0/16")
    return text


def _window(text: str) -> str:
    if not 1 <= units.seconds(text) <= _LONGEST_WINDOW:
        raise _expected("a duration from 1s to 365d")
    return text


_LONGEST_WINDOW = 365 * 24 * 3600
Window = Annotated[Duration, AfterValidator(_window)]
_OPEN_ADDRESS = "an http or https address, without user name and fragment"
_WEB_ADDRESS = "an https address (http only on loopback), without user name and fragment"
WebAddress = Annotated[str, Field(max_length=1024), AfterValidator(_web_address)]
OpenAddress = Annotated[str, Field(max_length=1024), AfterValidator(_open_address), AfterValidator(_without_query)]
Identifier = Annotated[WebAddress, AfterValidator(_without_query)]  # RFC 8414 section 2, RFC 8707 section 2
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], Field(strict=False)]


class PolicyFiles(Strict):
    """Where the policy is, who may loosen it, and what it remembers. Paths are relative to the home."""

    model: FilePath = "policy/model.conf"
    rules: FilePath = "policy/policy.csv"
    principals: FilePath = "policy/principals.yaml"
    tests: FilePaths = ("policy/tests/*.yaml",)
    change_control: Literal["off", "second-person"] = Field(
        default="off", description="Whether a change that lets more through waits for two people to confirm it."
    )
    refusals: Disclosure = Field(
        default="why", description="What callers are told of decisions: reason and rule, the rule only, or neither."
    )
    seen_window: Window = Field(default="1h", description="How long r.ctx.seen holds a label after it was returned.")


class LocalIdentity(Strict):
    """Who somebody on this machine is without a token (stdio and `--as`); assurance `declared`."""

    allow: bool = False
    subject: Subject | None = None
    client: Client = "agent:local"
    tenant: Tenant = "default"
    approve: bool = Field(
        default=False, description="Whether they may decide approvals; only where environment is demo."
    )


class Claims(Strict):
    """Which claim of an access token says what: its name, or a JSON pointer. `client` is client_id or azp."""

    subject: ClaimName = "sub"
    tenant: ClaimName = "org"
    roles: ClaimName = "roles"
    scopes: ClaimName = "scope"
    client: ClaimName | None = None


class KnownClient(Strict):
    """The name of an agent whose client id is none, as the address of a client's metadata."""

    id: Annotated[str, Field(min_length=1, max_length=1024)]
    name: Client


class Exchange(Strict):
    """Where call tokens are exchanged for an upstream's own (RFC 8693)."""

    token_endpoint: WebAddress | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    client_secret: SecretReference | None = None


class Oidc(Strict):
    """Whose access tokens are accepted over HTTP. `audience` is the address clients know this server by (RFC 8707)."""

    issuer: Identifier | None = None
    audience: Identifier | None = None
    jwks: WebAddress | None = Field(default=None, description="The address of the keys; else it is discovered.")
    algorithms: Annotated[tuple[Algorithm, ...], Field(strict=False), AfterValidator(_some)] = _ALGORITHMS
    types: Annotated[tuple[TokenType, ...], Field(strict=False), AfterValidator(_some)] = ("at+jwt",)
    claims: Claims = Claims()
    subject_prefix: Literal["user:", "service:", ""] = "user:"
    actor_prefix: Literal["agent:", "service:", "user:", ""] = "agent:"
    tenant: Tenant | None = Field(default=None, description="The tenant of tokens that name none.")
    clients: Annotated[tuple[KnownClient, ...], Field(strict=False)] = ()
    scopes: Annotated[tuple[Scope, ...], Field(strict=False, description="What clients should ask for first.")] = ()
    networks: Networks = ()
    exchange: Exchange = Exchange()


class Identity(Strict):
    """How a caller is known."""

    local: LocalIdentity = LocalIdentity()
    oidc: Oidc = Oidc()


class Http(Strict):
    """Where the server listens. `allowed_hosts` are accepted besides `host` itself."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    allowed_hosts: Annotated[tuple[AllowedHost, ...], Field(strict=False)] = ()
    behind_proxy: Annotated[bool, _only_false("server.http.behind_proxy: true")] = False


class Server(Strict):
    """The transports."""

    http: Http = Http()


class _Frozen(dict[str, Any]):
    """Hashable like all settings; nobody changes it."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


def _own_headers(headers: dict[str, str]) -> dict[str, str]:
    names = {name.lower() for name in headers}
    if len(names) != len(headers) or names & _HTTP_HEADERS:
        raise _expected("headers of your own, each once; those of HTTP itself are set for you")
    return _Frozen(headers)


_HTTP_HEADERS = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "te", "upgrade"}
)


_ANCHORS: tuple[Literal["witness", "rfc3161", "http", "file"], ...] = ("witness", "rfc3161", "http", "file")
_BESIDE = {
    "key": ("witness",),
    "ca": ("rfc3161",),
    "headers": ("http",),
    "name": ("rfc3161", "http", "file"),
    "networks": ("witness", "rfc3161", "http"),
}


class Anchor(Strict):
    """Somebody elsewhere who is shown the log. Exactly one of `witness`, `rfc3161`, `http`, `file` says who; only the
    first two count as anchored. `networks` are private networks (CIDR) that may be reached for it."""

    witness: OpenAddress | None = Field(default=None, description="The address of a witness (c2sp.org/tlog-witness).")
    key: WitnessKey | None = Field(default=None, description="The key by which the witness is known.")
    rfc3161: OpenAddress | None = Field(default=None, description="The address of a time-stamp authority.")
    ca: FilePath | None = Field(default=None, description="The root certificates of the authority, PEM.")
    http: WebAddress | None = Field(default=None, description="Where the newest checkpoint is sent by POST.")
    headers: Annotated[dict[HeaderName, HeaderValue], AfterValidator(_own_headers)] = Field(
        default_factory=_Frozen, description="Sent along; secrets as references only."
    )
    file: FilePath | None = Field(default=None, description="A file that holds the newest checkpoint.")
    name: Label | None = Field(default=None, description="What it is called in status; else it is made of the above.")
    networks: Networks = ()
    every: Window = Field(default="1m", description="How often it is asked while the log grows.")

    @model_validator(mode="after")
    def _is_one(self) -> "Anchor":
        kinds = [kind for kind in _ANCHORS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise _expected("exactly one of witness, rfc3161, http and file")
        for key, beside in _BESIDE.items():
            if key in self.model_fields_set and kinds[0] not in beside:
                raise _expected(f"no {key}: beside {kinds[0]}:")
        if self.witness is not None and self.key is None:
            raise _expected("key: beside witness:, the public key that the witness prints")
        if self.rfc3161 is not None and self.ca is None:
            raise _expected("ca: beside rfc3161:, the root certificates of the authority")
        return self

    @property
    def kind(self) -> Literal["witness", "rfc3161", "http", "file"]:
        return next(kind for kind in _ANCHORS if getattr(self, kind) is not None)

    @property
    def address(self) -> str:
        """Where it is reached; empty for a file."""
        return self.witness or self.rfc3161 or self.http or ""

    @property
    def called(self) -> str:
        """What tells it apart. Of an address only the host: the rest may be a secret."""
        if self.key is not None:
            return self.key.partition("+")[0]
        return self.name or self.file or urlsplit(self.address).netloc


def _distinct(anchors: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
    if len({(anchor.kind, anchor.called) for anchor in anchors}) != len(anchors):
        raise _expected("anchors that can be told apart; give one of them a name:")
    return anchors


class Audit(Strict):
    """The audit log. With `pseudonyms` its records name people by keyed pseudonyms, and a table says who is meant."""

    checkpoint_every: Duration = Field(
        default="1s", description="How often a signed checkpoint is stored while there is something new."
    )
    key_epoch: Duration = Field(
        default="30d", description="How long a signing key stays in force before the next one takes its place."
    )
    anchors: Annotated[
        tuple[Anchor, ...],
        Field(strict=False, description="Who elsewhere is shown the log."),
        AfterValidator(_distinct),
    ] = ()
    pseudonyms: bool = False
    retention: Duration = Field(
        default="400d",
        description="How old records are that `audit prune` takes and `audit status` counts as due.",
    )
    archive: FilePath = Field(default="var/archive", description="Where pruned records are kept, compressed.")

    @property
    def witnesses(self) -> tuple[VerifierKey, ...]:
        """The keys of the witnesses among the anchors."""
        return tuple(VerifierKey.parse(anchor.key) for anchor in self.anchors if anchor.key is not None)


class Webhook(Strict):
    """Somebody elsewhere who is told of approvals, by messages of Standard Webhooks. What is told decides nothing."""

    url: WebAddress = Field(description="Where messages are sent by POST.")
    secret: SecretReference = Field(description="What they are signed with: whsec_ and the base64 of 24 to 64 bytes.")
    on: Annotated[tuple[ApprovalEvent, ...], Field(strict=False), AfterValidator(_some)] = ("requested", "escalated")
    tenants: Annotated[
        tuple[Tenant, ...], Field(strict=False, description="Whose approvals it is told of; else those of every one.")
    ] = ()
    detail: Literal["none", "summary"] = Field(
        default="none", description="Whether it is told what approvers are shown of the values, sensitive ones never."
    )
    name: Label | None = Field(default=None, description="What it is called in listings; else the host of url.")
    networks: Networks = ()

    @property
    def called(self) -> str:
        """What tells it apart. Of its address only the host: the rest may be a secret."""
        return self.name or urlsplit(self.url).netloc


def _named_apart(hooks: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
    if len({hook.called for hook in hooks}) != len(hooks):
        raise _expected("webhooks that can be told apart; give one of them a name:")
    return hooks


class Approvals(Strict):
    """What people are asked."""

    webhooks: Annotated[
        tuple[Webhook, ...],
        Field(strict=False, max_length=16, description="Who elsewhere is told when something waits."),
        AfterValidator(_named_apart),
    ] = ()


class Tasks(Strict):
    """Long-running work."""

    unsupported: ClassVar[frozenset[str]] = frozenset({"engine"})
    inline_wait: Duration = Field(
        default="20s", description="A workflow that ends within this time is answered with its result."
    )
    confirm_wait: Duration = Field(
        default="45s", description="How long a request stays open for the requester's own confirmation (legacy era)."
    )


class KeyringEntry(Strict):
    """An entry of the system's keyring. Needs the extra `mcp-guard[keyring]`."""

    service: Label = "mcp-guard"
    user: Label


class SecretSource(Strict):
    """Who hands a secret out: a program (`exec`, its arguments; never a shell) or the system's `keyring`."""

    exec: Annotated[tuple[Argument, ...], Field(strict=False, min_length=1, max_length=64)] | None = None
    keyring: KeyringEntry | None = None
    variables: Annotated[tuple[Variable, ...], Field(strict=False)] = Field(
        default=(), description="Variables of the server's environment that the program gets."
    )
    timeout: Duration = Field(default="10s", description="How long the program may take.")
    keep: Duration = Field(default="1m", description="How long a value is used before the program is asked again.")

    @model_validator(mode="after")
    def _is_one(self) -> "SecretSource":
        if (self.exec is None) == (self.keyring is None):
            raise _expected("exactly one of exec and keyring")
        if self.keyring is not None and self.variables:
            raise _expected("no variables: beside keyring:")
        return self


class Limits(Strict):
    """Limits over all tools. `global` counts everybody together, the others each tenant, person and agent by itself."""

    everybody: CommonLimits = Field(default=CommonLimits(), alias="global")
    tenant: CommonLimits = CommonLimits()
    subject: CommonLimits = CommonLimits()
    client: CommonLimits = CommonLimits()

    def all(self) -> tuple[Limit, ...]:
        """Every limit that is written here."""
        return (
            *limits_of("home:global", self.everybody, "all"),
            *limits_of("home:tenant", self.tenant, "tenant"),
            *limits_of("home:subject", self.subject, "who"),
            *limits_of("home:client", self.client, "via"),
        )


class Settings(Strict):
    """Everything `mcp-guard.yaml` can say. Only `apiVersion` and `name` have no default."""

    apiVersion: Literal["mcp-guard/v1"]
    name: Name = Field(description="The server's name; the audit origin is NAME/INSTANCE.")
    tools: FilePaths = Field(default=("tool_manifests/*.yaml",), description="Patterns, relative to the home.")
    policy: PolicyFiles = PolicyFiles()
    store: Annotated[str, AfterValidator(_sqlite)] = "sqlite:var/guard.db"
    keys: FilePath = "var/keys"
    environment: Environment = "production"
    identity: Identity = Identity()
    server: Server = Server()
    audit: Audit = Audit()
    tasks: Tasks = Tasks()
    secrets: Annotated[dict[SecretName, SecretSource], AfterValidator(_Frozen)] = Field(
        default_factory=_Frozen, description="Secrets that a program or the keyring hands out, by name."
    )
    approvals: Approvals = Approvals()
    egress: Egress = Egress()
    connections: Connections = Connections()
    limits: Limits = Limits()
    results: Results = Results()


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of `mcp-guard.yaml` (`schemas/config.json`), written from the models."""
    schema = Settings.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "mcp-guard configuration"}
