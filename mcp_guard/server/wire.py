"""What is refused before the SDK sees a message: everything that is not one strict JSON-RPC 2.0 object.

MCP 2025-06-18 removed batches; JSON-RPC 2.0 section 5 says which error answers which fault.
"""

from dataclasses import dataclass
from typing import Final

from mcp_guard.kit.strict_json import JsonError, dumps, loads

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""One message, on every transport."""

_KNOWN_KEYS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})


@dataclass(frozen=True, slots=True)
class WireFault:
    """A message that was refused: the JSON-RPC error to answer with and a stable `code` for the record."""

    rpc_code: int
    code: str
    message: str
    id: str | int | None = None

    def as_bytes(self) -> bytes:
        """The JSON-RPC error response; `id` is null where it could not be read (JSON-RPC 2.0 section 5)."""
        error = {"code": self.rpc_code, "message": self.message, "data": {"code": self.code}}
        return dumps({"jsonrpc": "2.0", "id": self.id, "error": error})


TOO_LARGE: Final = WireFault(INVALID_REQUEST, "too_large", f"the message is larger than {MAX_MESSAGE_BYTES} bytes")


def read_message(data: bytes) -> dict[str, object] | WireFault:
    """One JSON-RPC message, or why it is refused."""
    if len(data) > MAX_MESSAGE_BYTES:
        return TOO_LARGE
    try:
        value = loads(data)
    except JsonError as error:
        return WireFault(PARSE_ERROR, error.code, f"Parse error: {error}")
    if isinstance(value, list):
        return WireFault(INVALID_REQUEST, "batch", "Invalid request: batches are not part of MCP")
    if not isinstance(value, dict):
        return WireFault(INVALID_REQUEST, "not_an_object", "Invalid request: expected one JSON-RPC object")
    return _check_envelope(value)


def _check_envelope(message: dict[str, object]) -> dict[str, object] | WireFault:
    identifier = message.get("id")
    known = identifier if isinstance(identifier, str | int) and not isinstance(identifier, bool) else None
    if message.get("jsonrpc") != "2.0":
        return WireFault(INVALID_REQUEST, "version", 'Invalid request: jsonrpc must be "2.0"', known)
    if "id" in message and known is None and "method" in message:
        return WireFault(INVALID_REQUEST, "id", "Invalid request: an id is a string or an integer")
    if not message.keys() <= _KNOWN_KEYS:
        return WireFault(INVALID_REQUEST, "unknown_member", "Invalid request: unknown member beside params", known)
    is_call = isinstance(message.get("method"), str)
    is_response = "method" not in message and ("result" in message) != ("error" in message)
    if not (is_call or is_response):
        return WireFault(INVALID_REQUEST, "method", "Invalid request: neither a method call nor a response", known)
    if is_call and not isinstance(message.get("params", {}), dict):
        return WireFault(INVALID_REQUEST, "params", "Invalid request: params must be an object", known)
    return message
