"""The tasks extension of MCP (`io.modelcontextprotocol/tasks`, SEP-2663, as of 2026-07-28), modern era only.

Asking about a task and cancelling it are calls of the guard's own tools in another form: the same checks, the same
records. A client that does not declare the extension in the very request is answered as if there were none.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value

from mcp_guard.admin.feed import Who
from mcp_guard.admin.own_tools import TASK_CANCEL, TASK_STATUS
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import GuardError, Unauthenticated
from mcp_guard.model.principal import Principal
from mcp_guard.server.declared import TASKS, Context, is_modern, knows_tasks
from mcp_guard.server.eliciting import RESPONSES, Eliciting
from mcp_guard.server.resources import TASK_ID
from mcp_guard.server.surface import Surface

NOTIFICATION: Final = "notifications/tasks"
TASK_IDS: Final = "taskIds"
POLL_MS: Final = 2000
"""How often a client may well ask: people take longer."""

_OPEN: Final = frozenset({"working", "input_required"})
_STATUS: Final = dict.fromkeys(_OPEN, "working") | {"cancelled": "cancelled"}


class TaskParams(types.RequestParams):
    """Of `tasks/get`, `tasks/update` and `tasks/cancel`; anything but the id of a task is the id of no task."""

    task_id: Any = None


class TasksExtension:
    """The methods of the extension over one guard. `who` acts in a request; `eliciting` knows what they are asked."""

    def __init__(self, surface: Surface, who: Callable[[Context], Principal], eliciting: Eliciting) -> None:
        self._surface = surface
        self._who = who
        self._eliciting = eliciting

    def install(self, server: Server[Any]) -> None:
        """Advertise the extension and answer its methods."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/get`: where a task stands, and its result once it has ended."""
        who = await self._admit(ctx, params)
        answer = await self._ask(who, TASK_STATUS.name, params.task_id)
        return {"resultType": "complete", **await self._detailed(ctx, who, answer), "_meta": answer.meta()}

    async def update(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/update`: what the requester said of their own confirmation; answers to what was not asked are ignored.
        What follows is for `tasks/get`."""
        who = await self._admit(ctx, params)
        identifier = _identifier(params.task_id)
        try:
            await self._surface.note_task(who, identifier)
        except GuardError as error:
            raise _refusal(error.code) from None
        await self._eliciting.answered(ctx, who, identifier, (ctx.params or {}).get(RESPONSES))
        return {"resultType": "complete"}

    async def cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """`tasks/cancel`: a task that waits is withdrawn; what is being carried out is not stopped."""
        who = await self._admit(ctx, params)
        answer = await self._ask(who, TASK_CANCEL.name, params.task_id)
        return {"resultType": "complete", "_meta": answer.meta()}

    async def begun(self, ctx: Context, who: Principal, answer: Answer) -> dict[str, Any] | None:
        """The result of a call that goes on as a task, for a client that can take it; `None` for any other."""
        if answer.task is None or not knows_tasks(ctx):
            return None
        task = await self._surface.begun_task(who, answer.task)
        if task is None:
            return None
        asked = await self._eliciting.standing(ctx, who, answer.task)
        return {"resultType": "task", **_task(task, is_asked=bool(asked))}

    def wanted(self, ctx: Context, asked: types.SubscriptionFilter) -> list[str]:
        """The tasks a client wants to be told of. Raises `MCPError` where it did not declare the extension."""
        found = (asked.model_extra or {}).get(TASK_IDS)
        if not found:
            return []
        if not knows_tasks(ctx):
            raise _undeclared()
        if not isinstance(found, list):
            raise MCPError(types.INVALID_PARAMS, "taskIds is a list")
        return list(dict.fromkeys(one for one in found if isinstance(one, str)))

    async def tell(self, ctx: Context, who: Who, identifier: str, meta: Mapping[str, object]) -> None:
        """Send `notifications/tasks`: what `tasks/get` would answer now, and on record like it.

        Nothing to whoever would be refused.
        """
        try:
            principal = await who()
        except Unauthenticated:
            return
        answer = await self._surface.call(principal, self._call(TASK_STATUS.name, identifier))
        if answer.is_error:
            return
        params = {**await self._detailed(ctx, principal, answer), "_meta": {**answer.meta(), **meta}}
        # A typed notification would lose `ttlMs: null`, which has to be there.
        await ctx.session._request_outbound.notify(NOTIFICATION, params)

    async def _detailed(self, ctx: Context, who: Principal, answer: Answer) -> dict[str, Any]:
        """A `DetailedTask`, from what `task_status` answers: with what is asked, or with its result."""
        task = answer.structured["task"]
        assert isinstance(task, Mapping)
        asked = await self._eliciting.standing(ctx, who, task["task_id"]) if task["status"] in _OPEN else {}
        shown = _task(task, is_asked=bool(asked))
        if asked:
            shown["inputRequests"] = asked
        if shown["status"] == "completed":
            shown["result"] = _call_result(task)
        return shown

    async def _admit(self, ctx: Context, params: TaskParams) -> Principal:
        if not is_modern(ctx):
            raise MCPError(types.METHOD_NOT_FOUND, "Method not found")
        who = self._who(ctx)
        if not knows_tasks(ctx):
            await self._surface.note_fault("capability", ctx.method, who)
            raise _undeclared()
        if ctx.request is not None:
            named = ctx.request.headers.getlist(MCP_NAME_HEADER)
            if len(named) != 1 or decode_header_value(named[0]) != params.task_id:
                await self._surface.note_fault("header_mismatch", ctx.method, who)
                raise MCPError(types.HEADER_MISMATCH, "The Mcp-Name header does not match taskId")
        return who

    async def _ask(self, who: Principal, tool: str, identifier: object) -> Answer:
        answer = await self._surface.call(who, self._call(tool, identifier))
        if answer.is_error:
            guard = answer.structured["guard"]
            assert isinstance(guard, Mapping)
            raise _refusal(str(guard["code"]))
        return answer

    def _call(self, tool: str, identifier: object) -> ToolCall:
        return ToolCall(self._surface.new_call_id(), tool, {"task_id": identifier})


def _task(task: Mapping[str, object], *, is_asked: bool) -> dict[str, Any]:
    """A `Task`. One that waits for people who are not at its client is `working`: there is nothing it could send.

    A call that ended with an error is `completed`: `failed` is for errors of the protocol.
    """
    status = str(task["status"])
    return {
        "taskId": task["task_id"],
        "status": "input_required" if is_asked else _STATUS.get(status, "completed"),
        "statusMessage": task["message"],
        "createdAt": task["created_at"],
        "lastUpdatedAt": task["updated_at"],
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def _call_result(task: Mapping[str, object]) -> dict[str, Any]:
    """The `CallToolResult` the call would have had. Where an operator said how it ended, only that is known."""
    failed = bool(task.get("is_error", task["status"] == "failed"))
    said = {"code": "in_doubt", "reason": task["message"], "executed": "no" if failed else "yes", "retry": "never"}
    structured = task.get("result", {"guard": said})
    text = dumps(structured).decode()
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": structured,
        "isError": failed,
    }


def _identifier(found: object) -> str:
    if not isinstance(found, str) or not TASK_ID.fullmatch(found):
        raise _refusal("args_invalid")
    return found


def _undeclared() -> MCPError:
    needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    return MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "Missing required client capability", needed)


def _refusal(code: str) -> MCPError:
    """A task that is not there, one that is not the caller's to see, and what is no id at all are the same."""
    if code in ("args_invalid", "policy_denied"):
        return MCPError(types.INVALID_PARAMS, "Unknown task")
    return MCPError(types.INTERNAL_ERROR, "Tasks cannot be asked about now", {"code": code})
