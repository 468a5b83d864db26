"""Reading tasks over MCP (`task://{id}`), and being told when one moves.

A task that is not there and one that is not the reader's to see are the same (I12).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_guard.admin.records import Frozen, Noting
from mcp_guard.admin.tasks import NO_SUCH, Tasks
from mcp_guard.audit.journal import Journal
from mcp_guard.model.disclosure import Disclosure, denial
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal
from mcp_guard.store.values import Traits
from mcp_guard.tasks.task import Task


@dataclass(frozen=True, slots=True)
class TaskReader:
    """Every read is one `read` record, durable before the answer. Whoever is `frozen` reads no task.

    A result that is shown with its task is shown: reading it counts like calling the tool (`noting`).
    """

    tasks: Tasks
    frozen: Frozen
    noting: Noting
    journal: Journal
    refusals: Disclosure = "why"

    async def read(self, principal: Principal, identifier: str) -> Mapping[str, object]:
        """`{"task": {…}}` as `task_status` answers it. Raises `Refused`."""
        task = await self._admit(principal, identifier, "task")
        view = await self.tasks.view(task)
        shown = self.noting(principal, {task.tool}) if "result" in view else None
        await self.journal.read(principal, {"what": "task", "task": identifier, "count": 1}, shown)
        return {"task": view}

    async def note(self, principal: Principal, identifier: str) -> None:
        """Record that somebody referred to a task without being shown it. Raises `Refused`."""
        await self._admit(principal, identifier, "task")
        await self.journal.read(principal, {"what": "task", "task": identifier, "count": 0})

    async def watch(self, principal: Principal, identifier: str) -> None:
        """Record that somebody wants to be told when a task moves. Raises `Refused`."""
        await self._admit(principal, identifier, "watch")
        await self.journal.read(principal, {"what": "watch", "task": identifier})

    async def may_read(self, principal: Principal, identifier: str) -> bool:
        """Whether the principal may read a task now; nothing is recorded, so nothing may be shown."""
        return self.frozen(principal) is None and await self.tasks.seen(principal, identifier) is not None

    async def _admit(self, principal: Principal, identifier: str, what: str) -> Task:
        task = await self.tasks.seen(principal, identifier)
        frozen = self.frozen(principal)
        if task is not None and frozen is None:
            return task
        told: dict[str, object] = {"what": what, "task": identifier, "effect": "deny", "count": 0}
        if frozen is not None:
            told["rule"] = frozen.rule
        await self.journal.read(principal, told)
        if task is not None and frozen is not None:
            raise denial(frozen, self.refusals)
        raise Refused("policy_denied", NO_SUCH, effect="deny")


@dataclass(frozen=True, slots=True)
class TaskTopic:
    """One task, as something to be told of (`feed.Topic`): every record about it is news of it."""

    reader: TaskReader
    identifier: str

    async def admit(self, principal: Principal) -> None:
        await self.reader.watch(principal, self.identifier)

    async def news_for(self, principal: Principal) -> Callable[[Mapping[str, object], Traits], bool] | None:
        return self._is_about if await self.reader.may_read(principal, self.identifier) else None

    def _is_about(self, record: Mapping[str, object], _: Traits) -> bool:
        state = record.get("state")
        within = state if record.get("kind") == "task" and isinstance(state, Mapping) else record
        return within.get("task") == self.identifier
