"""What clients are told where a resource is not given to them."""

import mcp_types as types
from mcp.shared.exceptions import MCPError

from mcp_guard.model.errors import GuardError, Refused, UsageError
from mcp_guard.server.resources import UnknownResource


def rpc_error(error: UnknownResource | GuardError) -> MCPError:
    """The JSON-RPC error. A resource that is not there and one that is not for the caller are the same."""
    if isinstance(error, UsageError):
        return MCPError(types.INVALID_PARAMS, error.message)
    if isinstance(error, Refused) and error.code == "frozen":  # it was theirs to read, so it is theirs to know
        told = {"code": error.code} | ({"rule": error.rule} if error.rule else {})
        rule = f" (rule {error.rule})" if error.rule else ""
        return MCPError(types.INTERNAL_ERROR, f"denied: {error.reason}{rule}", told)
    if isinstance(error, UnknownResource | Refused):
        return MCPError(types.INVALID_PARAMS, "Unknown resource")
    return MCPError(types.INTERNAL_ERROR, "The resource cannot be read now", {"code": error.code})


def not_now(what: str, error: GuardError) -> MCPError:
    """The JSON-RPC error of a list that cannot be recorded, and so not be shown."""
    return MCPError(types.INTERNAL_ERROR, f"The {what} cannot be listed now", {"code": error.code})
