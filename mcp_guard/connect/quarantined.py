"""What stands in for a connector where a tool is set aside."""

from mcp_guard.connect.failure import Failed
from mcp_guard.model.call import Invocation, Reply
from mcp_guard.model.tool import QuarantinedSpec


class QuarantinedConnector:
    """Carries nothing out, and says why."""

    def __init__(self, spec: QuarantinedSpec) -> None:
        self._reason = spec.reason

    async def invoke(self, invocation: Invocation) -> Reply:
        raise Failed("quarantined", self._reason, retry="never")

    async def aclose(self) -> None:
        """There is nothing to close."""
