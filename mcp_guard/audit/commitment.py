"""Commitments: a record says `HMAC-SHA256(salt, bytes)` of a value, the value itself stands beside it.

Whoever is shown salt and bytes can check them; without the salt nothing can be guessed from the record, and erasing
both leaves the chain intact. Sensitive parts are committed to under their own salt and never kept.
"""

import hmac
import os
from collections.abc import Iterable

from mcp_guard.kit import pointer, strict_json
from mcp_guard.store.values import SALT_BYTES, Side

Commitment = dict[str, object]
"""`{"c": hex, "len": bytes}`"""


def commit(data: bytes) -> tuple[Commitment, bytes]:
    """A commitment to bytes and its fresh salt."""
    salt = os.urandom(SALT_BYTES)
    return {"c": hmac.digest(salt, data, "sha256").hex(), "len": len(data)}, salt


def matches(commitment: object, salt: bytes, data: bytes) -> bool:
    """Whether salt and bytes are what the commitment was made from."""
    if not isinstance(commitment, dict):
        return False
    made = hmac.digest(salt, data, "sha256").hex()
    return commitment.get("len") == len(data) and hmac.compare_digest(str(commitment.get("c")).encode(), made.encode())


def commit_value(field: str, value: object, sensitive: Iterable[str] = ()) -> tuple[Commitment, tuple[Side, ...]]:
    """Commit to one JSON value under the name `field`.

    The bytes kept are canonical JSON in which every part named by a JSON pointer in `sensitive` reads
    `{"sensitive": {"c", "len"}}`; such a part has a side row of its own, `<field><pointer>`, with salt and no value.
    """
    sides: list[Side] = []
    masked: list[str] = []
    for where in sorted(sensitive, key=len):
        part = pointer.get(value, where)
        if part is pointer.MISSING or any(where.startswith(outer + "/") for outer in masked):
            continue
        inner, salt = commit(strict_json.dumps(part))
        value = _masked(value, where, inner)
        masked.append(where)
        sides.append(Side(field + where, salt, None))
    data = strict_json.dumps(value)
    commitment, salt = commit(data)
    return commitment, (Side(field, salt, data), *sides)


def _masked(value: object, where: str, commitment: Commitment) -> object:
    return pointer.replace(value, where, lambda _: {"sensitive": commitment})
