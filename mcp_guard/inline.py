"""Work that ends soon is answered with its end: nobody has to ask again for what takes a second."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcp_guard.admin.tasks import Tasks
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.call import PENDING_EXIT, WORKING, Answer, WorkingView
from mcp_guard.model.codes import CODES
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.moves import ApprovalState, StepState, TaskStatus
from mcp_guard.runner import Runner
from mcp_guard.tasks.task import Task

_LONGEST_PAUSE_SECONDS = 1.0
"""After which the rows are looked at again, whatever carries them on."""


@dataclass(frozen=True, slots=True)
class Inline:
    """Waits for tasks that calls have begun, `seconds` at most. One that waits for people is not waited for."""

    tasks: Tasks
    runner: Runner
    clock: Clock
    seconds: float

    async def answer(self, answer: Answer) -> Answer:
        """The answer of a call with what became of its task. It keeps the receipt of the call."""
        guard = answer.structured.get("guard")
        if answer.task is None or not isinstance(guard, Mapping) or guard.get("code") != WORKING:
            return answer
        return await self.follow(answer, answer.task)

    async def follow(self, answer: Answer, identifier: str) -> Answer:
        """The answer with what became of a task that is to go on now."""
        self.runner.start(identifier)
        end = self.clock.monotonic() + self.seconds
        try:
            while True:
                left = max(end - self.clock.monotonic(), 0.0)
                await self.runner.pause(identifier, min(left, _LONGEST_PAUSE_SECONDS))
                task = await self.tasks.find(identifier)
                if not left or not await self._goes_on(task):
                    break
            return answer if task is None else await self._told(answer, task)
        except StoreUnavailable:
            return answer  # the task has begun all the same, and task_status tells once the store does

    async def _goes_on(self, task: Task | None) -> bool:
        """Whether a task moves by itself: it works, or people have agreed to what it waits with."""
        if task is None or task.status is not TaskStatus.INPUT_REQUIRED:
            return task is not None and task.status is TaskStatus.WORKING
        for step in await self.tasks.parking.tasks.steps(task.id):
            if step.state is StepState.IN_DOUBT:
                return False
            if step.state is StepState.WAITING:
                request = await self.tasks.parking.approvals.of_step(task.id, step.id)
                return request is not None and request.state is not ApprovalState.PENDING
        return True  # it was moved on between two looks at it

    async def _told(self, answer: Answer, task: Task) -> Answer:
        if not task.status.is_final:
            view = WorkingView(answer.call, task.id, self.tasks.message(task))
            return replace(answer, structured={"guard": view.as_dict()}, text=view.as_text(), exit_code=PENDING_EXIT)
        shown = await self.tasks.view(task)
        result = shown["result"]
        assert isinstance(result, dict)
        if not shown["is_error"]:
            return replace(answer, structured=result, text=dumps(result).decode(), exit_code=0, task=None)
        guard = {**result["guard"], "call": answer.call, "task_id": task.id}
        code = CODES.get(guard["code"])
        text = f"failed: {guard['reason']}"
        exit_code = 1 if code is None else code.exit_code
        return replace(answer, structured={"guard": guard}, text=text, is_error=True, exit_code=exit_code, task=None)
