"""Tasks as their operator sees them: a page of rows, or one task whole, with who is waited for and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.admin.tasks import LISTED, NO_SUCH, Tasks
from mcp_guard.approval.request import ApprovalRequest
from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.errors import UsageError
from mcp_guard.model.moves import TaskStatus
from mcp_guard.tasks.task import Task

OPERATOR = "an operator"
"""Who is waited for where a step is in doubt."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks. `before` is the id of the last one that was shown."""

    status: TaskStatus | None = None
    tool: str | None = None
    subject: str | None = None
    before: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first; `more` says whether there are others behind them."""

    rows: list[dict[str, object]]
    more: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Reads the store's own rows. Every method raises `StoreUnavailable`."""

    tasks: Tasks

    async def page(self, wanted: Wanted) -> Page:
        """A page of tasks. Raises `UsageError` where `before` is no task."""
        store = self.tasks.parking.tasks
        if wanted.before is not None and await store.find(wanted.before) is None:
            raise UsageError(NO_SUCH, hint="--before takes the id of the last task of the page before")
        found = await store.all(
            status=wanted.status,
            subject=wanted.subject,
            tool=wanted.tool,
            before=wanted.before,
            limit=wanted.limit + 1,
        )
        shown = found[: wanted.limit]
        names = [task.id for task in shown]
        attempts = await store.attempts(names)
        awaited = await self.tasks.parking.approvals.awaited(names)
        rows = [self._row(task, attempts.get(task.id, (0, False)), awaited.get(task.id)) for task in shown]
        return Page(rows, len(found) > len(shown))

    async def one(self, identifier: str) -> dict[str, object]:
        """One task with its steps (the shape of contract section 5, with a few more keys). Raises `UsageError`."""
        task = await self.tasks.find(identifier)
        if task is None:
            raise UsageError(NO_SUCH, hint=LISTED)
        view: Mapping[str, object] = await self.tasks.view(task)
        doubt = (await self.tasks.parking.tasks.attempts([task.id])).get(task.id, (0, False))[1]
        request = (await self.tasks.parking.approvals.awaited([task.id])).get(task.id)
        head = {
            "id": task.id,
            "status": view["status"],
            "awaits": self._awaits(task, doubt, request),
            "next": _next(task),
        }
        return head | {key: value for key, value in view.items() if key not in ("task_id", *head)}

    def _row(self, task: Task, attempts: tuple[int, bool], request: ApprovalRequest | None) -> dict[str, object]:
        begun, doubt = attempts
        return {
            "id": task.id,
            "tool": task.tool,
            "subject": task.subject,
            "via": task.client,
            "tenant": task.tenant,
            "status": task.status.value,
            "message": task.message,
            "attempts": begun,
            "awaits": self._awaits(task, doubt, request),
            "next": _next(task),
            "updated_at": _when(task.updated_at),
        }

    def _awaits(self, task: Task, doubt: bool, request: ApprovalRequest | None) -> list[str]:
        """Who has to do something before it can go on."""
        if task.status is not TaskStatus.INPUT_REQUIRED:
            return []
        if request is not None:
            return list(request.asked(escalated=self.tasks.parking.is_escalated(request)))
        return [OPERATOR] if doubt else []


def _next(task: Task) -> str | None:
    """When it is looked at next, if anybody is to."""
    return None if task.status.is_final or task.wake_at is None else _when(task.wake_at)


def _when(us: int) -> str:
    return as_datetime(us).isoformat(timespec="seconds")
