"""What `docs/approvals.md` tells receivers to do, done with a real message."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.approval.webhooks import body, headers, key_of
from tests.approval.test_webhooks import REQUEST

DOCUMENT = (Path(__file__).parents[2] / "docs" / "approvals.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.holds("webhooks:standard")
def test_a_receiver_that_does_as_it_is_told_believes_us_and_nobody_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    verified, now = found["verified"], int(time.time())
    message = body("requested", REQUEST.created_at, REQUEST, REQUEST.approvers, with_summary=True)
    ours = dict(headers(key_of(SECRET), "msg_1", now, message))
    assert verified(SECRET, ours, message)["data"]["approval_id"] == REQUEST.id
    others = {
        "another text": (ours, message.replace(b"alice", b"mallory")),
        "another id": (ours | {"webhook-id": "msg_2"}, message),
        "another secret": (dict(headers(b"k" * 32, "msg_1", now, message)), message),
        "long ago": (dict(headers(key_of(SECRET), "msg_1", now - 3600, message)), message),
        "no signature": (ours | {"webhook-signature": "v1a,x"}, message),
    }
    for given, text in others.values():
        with pytest.raises(ValueError, match="not "):
            verified(SECRET, given, text)
