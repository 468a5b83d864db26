"""How an act fails: a refusal that also says whether another attempt is of the retriable kind."""

from mcp_guard.model.codes import Code, Executed, Retry
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import RetryOn

MAX_TEXT = 300
"""Characters of upstream text that a reason may hold."""


class Failed(Refused):
    """The connector could not carry out the call.

    `transient` is the class of `retry.retry_on` this belongs to, if any. `executed` is what this attempt alone knows,
    as if the tool had effects: `no` only where nothing can have happened.
    """

    def __init__(
        self,
        code: Code,
        reason: str,
        *,
        transient: RetryOn | None = None,
        executed: Executed = "no",
        retry: Retry | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(code, reason, executed=executed, retry=retry, retry_after_s=retry_after_s)
        self.transient = transient


class Unauthorized(Failed):
    """The upstream did not accept the credential (401, RFC 9110 section 15.5.2), and so did nothing."""
