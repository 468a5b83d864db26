"""What waits for people, told elsewhere: messages of Standard Webhooks 1.0 (standardwebhooks.com), as values.

A message only says that something waits, or what became of it. Nothing in it decides: whoever reads it decides where
they always do, as themselves.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.kit import strict_json
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.moves import ApprovalEvent, ApprovalState

ATTEMPTS: Final = 10
"""How often a message is sent at most; with the pauses between, over about a day."""
_FIRST_PAUSE_S: Final = 5
_LONGEST_PAUSE_S: Final = 6 * 3600
_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = range(24, 65)

STATES: Final[dict[ApprovalEvent, ApprovalState]] = {
    "requested": ApprovalState.PENDING,
    "escalated": ApprovalState.PENDING,
    "approved": ApprovalState.APPROVED,
    "denied": ApprovalState.DENIED,
    "expired": ApprovalState.EXPIRED,
    "withdrawn": ApprovalState.WITHDRAWN,
}
"""The state an approval is in when the event is true of it: one vote of several approves nothing yet."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A receiver, as far as messages are made for it. `tenants` are those it is told of; empty means every one.

    `address` is a digest of where it is. `summary` adds the lines that approvers are shown.
    """

    name: str
    on: frozenset[ApprovalEvent]
    tenants: frozenset[str]
    summary: bool
    address: str

    def wants(self, event: ApprovalEvent, tenant: str) -> bool:
        return event in self.on and (not self.tenants or tenant in self.tenants)


def body(
    event: ApprovalEvent, at: int, request: ApprovalRequest, approvers: Sequence[str], *, with_summary: bool
) -> bytes:
    """The message about something that happened at `at` (unix µs); `approvers` are those asked by now."""
    data: dict[str, object] = {
        "approval_id": request.id,
        "task_id": request.task,
        "tool": request.tool,
        "requester": request.requester,
        "via": request.client,
        "tenant": request.tenant,
        "approvers": list(approvers),
        "quorum": request.quorum,
        "expires_at": _moment(request.expires_at),
    }
    if with_summary:
        data["summary"] = list(request.summary)
    return strict_json.dumps({"type": f"approval.{event}", "timestamp": _moment(at), "data": data})


def key_of(secret: str) -> bytes:
    """The key that a secret in the form of the specification stands for. Raises `ValueError`, which quotes nothing."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise ValueError("its secret is not whsec_ and the base64 of 24 to 64 bytes")
    return key


def headers(key: bytes, identifier: str, now_s: int, message: bytes) -> tuple[tuple[str, str], ...]:
    """What makes a message one of ours: HMAC-SHA256 over its id, the time of this attempt (unix s) and its bytes."""
    mac = hmac.digest(key, f"{identifier}.{now_s}.".encode() + message, "sha256")
    signature = f"v1,{b64encode(mac).decode()}"
    return (("webhook-id", identifier), ("webhook-timestamp", str(now_s)), ("webhook-signature", signature))


def pause_us(identifier: str, attempts: int) -> int:
    """How long to wait after so many attempts that failed: 5 s * 4^(n - 1), at most 6 h, and up to a quarter more.

    How much more depends on the message, so that those that failed together do not come back together.
    """
    share = int.from_bytes(sha256(f"{identifier}/{attempts}".encode()).digest()[:6]) / 2**48
    seconds = min(_FIRST_PAUSE_S * 4 ** min(attempts - 1, 20), _LONGEST_PAUSE_S)
    return int(seconds * (1 + share / 4) * 1_000_000)


def _moment(us: int) -> str:
    return as_datetime(us).isoformat()
