"""The support desk's own function: mail goes to an outbox file, one JSON object a line."""

import json
import threading
from datetime import UTC, datetime

from mcp_guard.connect.python import current_home

_lock = threading.Lock()


def send_mail(to: list[str], subject: str, body: str) -> dict[str, object]:
    """Put one message into `var/outbox.jsonl` of the home."""
    message = {"to": to, "subject": subject, "body": body, "queued_at": datetime.now(UTC).isoformat(timespec="seconds")}
    outbox = current_home.get() / "var" / "outbox.jsonl"
    with _lock, outbox.open("a", encoding="utf-8") as file:
        file.write(json.dumps(message) + "\n")
    return {"status": "queued", "recipients": len(to)}
