"""One authorization (OAuth 2.1 section 4.1, RFC 7636, RFC 9207) as values: what the browser is sent away with, and what
it has to come back with. Pure."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from mcp_guard.identity.oauth.metadata import Endpoints

MOST_QUERY: Final = 8192
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_PARAMETERS = frozenset({"code", "state", "iss", "error"})


class Unanswered(Exception):
    """What a browser came back with is not the answer to what was asked. The reason is for the record only."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One authorization under way: everything its answer is held against. `client_id` and `redirect` are as they were
    sent, because the token endpoint compares them."""

    endpoints: Endpoints
    client_id: str
    redirect: str
    verifier: str

    def address(self, state: str, resource: str, scopes: tuple[str, ...]) -> str:
        """Where the browser is sent."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect,
            "state": state,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            "resource": resource,
            "scope": " ".join(scopes),
        }
        query = urlencode({name: value for name, value in asked.items() if value})
        glue = "&" if urlsplit(self.endpoints.authorization).query else "?"
        return f"{self.endpoints.authorization}{glue}{query}"

    def code(self, answer: Mapping[str, str]) -> str:
        """The code of an answer. Raises `Unanswered` for an error, and for the answer of another issuer (mix-up)."""
        issuer = answer.get("iss")
        if issuer != self.endpoints.issuer and (issuer is not None or self.endpoints.says_issuer):
            raise Unanswered("issuer")
        if "error" in answer:
            raise Unanswered("denied")
        code = answer.get("code", "")
        if not code or len(code) > 2048 or not code.isascii() or not code.isprintable():
            raise Unanswered("code")
        return code


def new_secret() -> str:
    """256 random bits as text: a ticket, a state, a verifier (RFC 7636 section 4.1)."""
    return secrets.token_urlsafe(32)


def is_secret(text: str) -> bool:
    """Whether a text has the form of `new_secret`."""
    return _SECRET.fullmatch(text) is not None


def hashed(secret: str) -> str:
    """What is kept of a secret that somebody will bring back (hex)."""
    return hashlib.sha256(b"mcp-guard/consent\n" + secret.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Whether two texts are equal, in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def challenge_of(verifier: str) -> str:
    """RFC 7636 section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_answer(query: bytes) -> Mapping[str, str]:
    """The parameters of an answer that mean something here. Raises `Unanswered` where one of them stands twice."""
    if len(query) > MOST_QUERY:
        raise Unanswered("form")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        raise Unanswered("form") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Unanswered("form")
        if name in _PARAMETERS:
            found[name] = value
    return found
