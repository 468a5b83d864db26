"""Who works on the store itself: an operator, known by their account on this machine, and the reasons they give."""

from mcp_guard.kit.platform import account
from mcp_guard.kit.text import visible
from mcp_guard.model.errors import UsageError
from mcp_guard.model.principal import Principal

LONGEST_REASON = 300


def operator() -> Principal:
    """The operator as records name them. No caller can have this name: an identity is `user:` or `service:`.

    They act on the store of all tenants, so their own is empty.
    """
    return Principal(f"operator:{account()}", "agent:cli", "", "local", "declared")


def checked_reason(reason: str, *, what: str, hint: str) -> str:
    """A reason that can be recorded and shown. Raises `UsageError`, saying that `what` needs one."""
    reason = reason.strip()
    if not reason:
        raise UsageError(f"{what} needs a reason.", hint=hint)
    if len(reason) > LONGEST_REASON or visible(reason) != reason:
        shape = f"one line of at most {LONGEST_REASON} characters, without hidden or control characters"
        raise UsageError("The reason cannot be shown as it is.", hint=shape)
    return reason
