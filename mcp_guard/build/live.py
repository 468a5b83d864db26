"""The definition in force with the connectors of its tools, replaced while calls run."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from mcp_guard.build.definition import Definition
from mcp_guard.generation import Generation, InForce
from mcp_guard.identity.directory import Directory
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    import asyncio

    from mcp_guard.connect.connector import Connector
    from mcp_guard.connect.factory import Means


class Live:
    """What is in force. `definition`, `in_force` and `common_limits`, those over all tools, change together, on the
    event loop's thread.

    Between `__init__` and `connect` people are known and nothing can be called.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.in_force = InForce(_generation(definition, {}))
        self.common_limits = definition.home.settings.limits.all()
        self._means: Means | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    def directory(self) -> Directory:
        """The principals known now."""
        return self.in_force.current.directory

    def connect(self, means: "Means") -> None:
        """Make the connectors of the first generation."""
        self._means = means
        self.in_force.current = self.prepare(self.definition)

    def prepare(self, definition: Definition) -> Generation:
        """A generation of a definition, not yet in force; a tool that stayed the same keeps its connector.

        Raises `Invalid` for what only a new start can give.
        """
        from mcp_guard.connect.factory import connect

        means, before = self._means, self.in_force.current
        assert means is not None, "connected first"
        if means.issue is None and (wanting := _asking_for_credentials(definition)):
            what = "asks for a credential of the call, which this process was started without"
            raise Invalid([Problem("needs_restart", what, f"tool {wanting[0]}", hint="start mcp-guard anew")])
        connectors = {}
        for name, entry in definition.catalog.items():
            same = name in before.connectors and before.catalog[name].tool.fingerprint == entry.tool.fingerprint
            connectors[name] = before.connectors[name] if same else connect(entry.tool, means)
        return _generation(definition, connectors)

    def replace(self, definition: Definition, generation: Generation, settled: Callable[[], Awaitable[None]]) -> None:
        """Put a prepared generation in force; connectors nobody needs any more close after `settled`: when the calls
        that are running now have ended."""
        import asyncio

        kept = set(map(id, generation.connectors.values()))
        dropped = [found for found in self.in_force.current.connectors.values() if id(found) not in kept]
        self.definition, self.in_force.current = definition, generation
        self.common_limits = definition.home.settings.limits.all()
        if dropped:
            task = asyncio.get_running_loop().create_task(_close_after(settled, dropped))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def aclose(self) -> None:
        """Close every connector; no call follows."""
        import asyncio

        if self._retiring:
            await asyncio.wait(set(self._retiring))
        await _close(self.in_force.current.connectors.values())


def _generation(definition: Definition, connectors: Mapping[str, "Connector"]) -> Generation:
    return Generation(
        definition.catalog, definition.policy, definition.directory, definition.environment, dict(connectors)
    )


def _asking_for_credentials(definition: Definition) -> list[str]:
    from mcp_guard.manifest.tokens import tools_asking

    return list(tools_asking(definition.catalog))


async def _close_after(settled: Callable[[], Awaitable[None]], connectors: Iterable["Connector"]) -> None:
    await settled()
    await _close(connectors)


async def _close(connectors: Iterable["Connector"]) -> None:
    for connector in connectors:
        await connector.aclose()
