"""Commands that work with a whole guard, without serving."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from mcp_guard.cli.output import Output

if TYPE_CHECKING:
    from mcp_guard.build import Guard

_T = TypeVar("_T")


def with_guard(output: Output, ask: "Callable[[Guard], Awaitable[_T]]") -> _T:
    """What `ask` gives for the guard of a home that was used before. Raises what opening one raises."""
    from mcp_guard.build import open_guard

    async def run() -> _T:
        async with open_guard(output.load_recorded_home(), serving=False, verbosity=output.verbosity) as guard:
            return await ask(guard)

    return asyncio.run(run())
