"""The environment of a process of a tool: declared variables, secrets among them, and nothing of the server's."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mcp_guard.connect.failure import Failed
from mcp_guard.kit import references
from mcp_guard.kit.references import Reference


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables whose values are texts or whole references, resolved by `obtain` when they are needed."""

    variables: Sequence[tuple[str, str]]
    obtain: Callable[[Reference], Awaitable[str]]

    async def values(self, seconds: float) -> dict[str, str]:
        """The variables as of now. Raises `Refused`; nothing was executed then."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return {name: await self._value(text) for name, text in self.variables}
        except TimeoutError:
            if not limit.expired():
                raise
            raise Failed("upstream_timeout", "a secret of the tool was not handed out in time") from None

    async def _value(self, text: str) -> str:
        (part,) = references.parse(text) or ("",)
        value = await self.obtain(part) if isinstance(part, Reference) else part
        if "\0" in value:
            raise Failed("upstream_unavailable", "a variable it needs holds a NUL")
        return value
