"""An OAuth authorization server on loopback: real keys, metadata, a key set and token exchange, all as a test wants it.

What it signs is real, so a token that is refused is refused for what it says, not for being a fake.
"""

import base64
import json
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tests.simulators.upstream import Behaviour, Seen, UpstreamSimulator, Wire, answer, text

ALGORITHMS = get_default_algorithms()
OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
AUDIENCE = "https://guard.example/mcp"

JsonObject = dict[str, Any]


@lru_cache(maxsize=8)
def private_key(algorithm: str, number: int = 0) -> Any:
    """A private key; the same one for the same question, because RSA keys take long to make."""
    if algorithm[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: JsonObject | bytes, claims: JsonObject | bytes, key: Any, algorithm: str) -> str:
    """A compact JWS, signed by `key` whatever its header says."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(map(base64url, parts))
    return f"{signed}.{base64url(ALGORITHMS[algorithm].sign(signed.encode(), key))}"


@dataclass(frozen=True)
class SigningKey:
    """A key the issuer signs with."""

    kid: str
    algorithm: str = "EdDSA"
    number: int = 0

    @property
    def private(self) -> Any:
        return private_key(self.algorithm, self.number)

    def jwk(self, **changes: Any) -> JsonObject:
        public: Any = self.private.public_key()
        found: JsonObject = json.loads(ALGORITHMS[self.algorithm].to_jwk(public))
        found.pop("key_ops", None)
        changed = {**found, "kid": self.kid, "use": "sig", "alg": self.algorithm, **changes}
        return {name: value for name, value in changed.items() if value is not None}


@dataclass
class IssuerSimulator:
    """`keys` are published and `current` signs; `down` answers 503; `replies` takes the place of what a path says."""

    now_s: int = 1_790_000_000
    current: SigningKey = field(default_factory=lambda: SigningKey("first"))
    down: bool = False
    replies: dict[str, Behaviour] = field(default_factory=dict)
    exchanged: list[dict[str, str]] = field(default_factory=list)
    http: UpstreamSimulator = field(init=False)

    def __post_init__(self) -> None:
        self.keys: list[JsonObject] = [self.current.jwk()]
        self.http = UpstreamSimulator(self._behave)

    def __enter__(self) -> "IssuerSimulator":
        self.http.__enter__()
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.http.__exit__(*error)

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def hits(self, path: str) -> int:
        return sum(seen.target == path for seen in self.http.requests)

    def claims(self, **changes: Any) -> JsonObject:
        """Claims of a good token (RFC 9068); a change to `None` takes one away."""
        claims: JsonObject = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "alice",
            "client_id": "desktop",
            "org": "acme",
            "scope": "orders:read payments:refund",
            "iat": self.now_s,
            "exp": self.now_s + 300,
            "jti": "t-1",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def header(self, **changes: Any) -> JsonObject:
        header = {"typ": "at+jwt", "alg": self.current.algorithm, "kid": self.current.kid, **changes}
        return {name: value for name, value in header.items() if value is not None}

    def token(self, header: JsonObject | None = None, **changes: Any) -> str:
        """A token as the issuer would issue it, but for what the caller changes."""
        signer = self.current
        return compact(self.header(**(header or {})), self.claims(**changes), signer.private, signer.algorithm)

    def rotate(self, key: SigningKey, *, keep: bool = False) -> None:
        """Sign with another key from now on; the old one is withdrawn unless kept."""
        self.current = key
        self.keys = [*(self.keys if keep else []), key.jwk()]

    def metadata(self) -> JsonObject:
        return {"issuer": self.name, "jwks_uri": f"{self.name}/keys", "token_endpoint": f"{self.name}/token"}

    def _behave(self, seen: Seen, wire: Wire) -> None:
        behaviour = text("", status=503) if self.down else self.replies.get(seen.target) or self._reply(seen)
        behaviour(seen, wire)

    def _reply(self, seen: Seen) -> Behaviour:
        match seen.method, seen.target:
            case "GET", "/.well-known/openid-configuration":
                return answer(self.metadata())
            case "GET", "/keys":
                return answer({"keys": self.keys})
            case "POST", "/token":
                return self._exchange(seen)
        return text("", status=404)

    def _exchange(self, seen: Seen) -> Behaviour:
        form = {name: values[0] for name, values in parse_qs(seen.body.decode(), strict_parsing=True).items()}
        self.exchanged.append(form | {"authorization": seen.header("authorization") or ""})
        issued = {
            "access_token": "issued-for-the-upstream-1",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 60,
        }
        return answer(issued)
