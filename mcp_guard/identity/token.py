"""Bearer tokens of our own: `mcpg_<id>_<secret>`, where only a hash of the secret is kept.

The secret has 256 random bits, so a plain SHA-256 is enough at rest: there is nothing to guess.
"""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

PREFIX = "mcpg"
_TOKEN = re.compile(r"mcpg_([a-z2-7]{16})_([0-9a-f]{64})")
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as presented: its public id and the hash of its secret."""

    id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as stored. Times are unix microseconds; `scopes` is `None` where the token does not narrow them."""

    id: str
    digest: bytes
    subject: str
    client: str
    tenant: str
    scopes: frozenset[str] | None
    created_at: int
    expires_at: int
    revoked_at: int | None

    def is_valid(self, presented: Presented, now_us: int) -> bool:
        """Right secret (compared in constant time), neither expired nor revoked."""
        same = hmac.compare_digest(self.digest, presented.digest)
        return same and self.revoked_at is None and self.created_at <= now_us < self.expires_at

    def as_dict(self) -> dict[str, object]:
        """What may be shown of it: everything but the hash."""
        return {
            "id": self.id,
            "subject": self.subject,
            "client": self.client,
            "tenant": self.tenant,
            "scopes": None if self.scopes is None else sorted(self.scopes),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
        }


def generate() -> tuple[str, Presented]:
    """A new token: the text to hand out once, and what to keep of it."""
    identifier = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    secret = secrets.token_hex(_SECRET_BYTES)
    text = f"{PREFIX}_{identifier}_{secret}"
    return text, Presented(identifier, _digest(secret))


def parse(text: str) -> Presented | None:
    """A presented token, or `None` where it does not have the form of one."""
    match = _TOKEN.fullmatch(text)
    return Presented(match.group(1), _digest(match.group(2))) if match else None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
