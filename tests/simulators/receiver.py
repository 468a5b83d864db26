"""A receiver of Standard Webhooks as somebody else would write one: it believes nothing it did not verify."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from tests.simulators.upstream import Seen

TOLERANCE_S = 300


def verified(secret: str, seen: Seen) -> dict[str, Any]:
    """What a message says. Raises `AssertionError` for one that is not signed, not now, or not JSON."""
    identifier, moment = seen.header("webhook-id"), seen.header("webhook-timestamp")
    assert identifier is not None
    assert moment is not None
    assert "." not in identifier
    assert abs(time.time() - int(moment)) < TOLERANCE_S
    key = base64.b64decode(secret.split("_", 1)[1])
    signer = hmac.new(key, digestmod=hashlib.sha256)
    for part in (identifier.encode(), b".", moment.encode(), b".", seen.body):
        signer.update(part)
    expected = base64.b64encode(signer.digest()).decode()
    offered = [entry.split(",", 1) for entry in str(seen.header("webhook-signature")).split(" ")]
    assert any(version == "v1" and hmac.compare_digest(expected, given) for version, given in offered)
    assert (seen.method, seen.header("content-type")) == ("POST", "application/json")
    found: dict[str, Any] = json.loads(seen.body)
    assert set(found) == {"type", "timestamp", "data"}
    return found
