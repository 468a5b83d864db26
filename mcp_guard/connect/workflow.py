"""The way to a workflow: none. What it does is its steps, each a call of its own; beginning it is no act."""

from mcp_guard.model.call import Invocation, Reply


class WorkflowConnector:
    """Answers that the task has begun. The runner carries it on."""

    async def invoke(self, invocation: Invocation) -> Reply:
        return Reply({"begun": True})

    async def aclose(self) -> None:
        """Nothing is held."""
