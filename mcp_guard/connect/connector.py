"""What every kind of tool looks like from the pipeline: invoked with one invocation, answers with one value."""

from typing import Protocol

from mcp_guard.model.call import Invocation, Reply


class Connector(Protocol):
    """The way to one system. Safe for concurrent use."""

    async def invoke(self, invocation: Invocation) -> Reply:
        """Act once, within `invocation.timeout` seconds. Raises `Refused`, as `Failed` where the act went wrong."""
        ...

    async def aclose(self) -> None:
        """Give back what is held. No invocation follows."""
        ...
