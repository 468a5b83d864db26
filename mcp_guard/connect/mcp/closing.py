"""A stream of the SDK's transports that stands before another one: left, it is closed."""

from types import TracebackType
from typing import Self


class Closing:
    """The part of a stream that is the same for every one."""

    async def aclose(self) -> None:
        """Close it, and the one behind it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool | None:
        await self.aclose()
        return None
