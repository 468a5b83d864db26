"""Asking the person at a client for their own confirmation (MCP elicitation, form mode), in both protocol eras.

Modern (2026-07-28, SEP-2322): the call is answered with what is to be asked, and sent again with what was said. Its
request state is sealed (method, tool, arguments, principal, 600 s) and may come again: that a confirmation counts once
is up to its approval. To a client of the tasks extension the call is a task, and the question stands in it (SEP-2663).
Legacy: the request stays open meanwhile, within a bound. Whoever is not asked here, or does not say yes, finds the call
waiting like any other.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult
from mcp.server.request_state import AESGCMRequestStateCodec, RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from mcp_guard.confirming import FIELD, FORM, NO, YES, Confirming, Question
from mcp_guard.model.back_channel import Move, Report
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from mcp_guard.server import asking
from mcp_guard.server.declared import Context, is_modern, knows_tasks, shows_forms
from mcp_guard.server.leading import PREFIX, Leading
from mcp_guard.server.sessions import STREAMS
from mcp_guard.server.surface import Surface

KEY: Final = "confirm"
"""The key of the one thing that is asked for."""
NOT_OUR_STATE: Final = {"reason": "invalid_request_state"}
"""What the SDK says of a request state that does not open, is of another request, principal or server, or too old."""
STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"


class Eliciting:
    """Carries out calls, and asks for confirmation where one is wanted and the client can show a form."""

    def __init__(self, surface: Surface, who: Callable[[Context], Principal]) -> None:
        self._surface = surface
        self._leading = Leading(surface)
        self._holding = asking.Holding(surface)
        security = RequestStateSecurity(
            codec=_Codec(surface.request_state_key), bind_principal=lambda ctx: _named(who(ctx))
        )
        self._boundary = RequestStateBoundary(security, default_audience=surface.name)

    async def boundary(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Open the request state on the way in and seal it on the way out. Raises `MCPError` (`NOT_OUR_STATE`)."""
        return await self._boundary(ctx, call_next)

    async def sealed(self, ctx: Context, result: dict[str, Any]) -> HandlerResult:
        """A result that was made without passing the boundary, as it may go out."""
        if STATE not in result:
            return result

        async def made(_: Context) -> HandlerResult:
            return result

        return await self._boundary(ctx, made)

    async def call(self, ctx: Context, who: Principal, call: ToolCall) -> Answer | dict[str, Any]:
        """The answer of a call, or what its client has to ask before (an `InputRequiredResult`).

        Raises `UnknownTool`.
        """
        state = (ctx.params or {}).get(STATE) if is_modern(ctx) else None
        came_back = isinstance(state, str) and state.startswith(PREFIX)
        if came_back:
            await self._leading.came_back(ctx, who, str(state))
        answer = await self._confirmed(ctx, who, call, None if came_back else state)
        if not isinstance(answer, Answer) or answer.link is None:
            return answer
        led = await self._leading.lead(ctx, who, answer, answer.link, came_back=came_back)
        if led is not None:
            return led
        return await self.call(ctx, who, replace(call, id=self._surface.new_call_id()))  # each has one outcome

    async def _confirmed(self, ctx: Context, who: Principal, call: ToolCall, state: object) -> Answer | dict[str, Any]:
        """The answer of a call, or a question for confirmation; `state` is what came back with one."""
        report = reporting(ctx)
        known = None if state is None else await self._known(ctx, who, call, str(state), report)
        answer = known or await self._carried_out(ctx, who, call, report)
        if known is not None or not isinstance(answer, Answer):
            return answer
        question = None if state is None and knows_tasks(ctx) else await self._question(ctx, who, answer.task)
        if question is None:
            return answer
        if state is not None:
            said = ((ctx.params or {}).get(RESPONSES) or {}).get(KEY) if state == question.approval else None
            return await self._heard(who, answer, question, said, report)
        if not self._confirming.asked.may_ask(question.about):
            return answer
        self._confirming.asked.asks(question.about)
        if is_modern(ctx):
            return _input_required(question)
        return await self._heard(who, answer, question, await self._ask(ctx, question), report)

    async def _known(
        self, ctx: Context, who: Principal, call: ToolCall, state: str, report: Report | None
    ) -> Answer | dict[str, Any] | None:
        """What follows for a call that comes again, where that is not to be carried out once more."""
        if call.dry_run != "no":
            return None
        if state.startswith(asking.PREFIX):
            return await self._holding.again(state, ctx.params or {}, report)
        return await self._surface.confirmed_before(who, call, state, report)

    async def _carried_out(
        self, ctx: Context, who: Principal, call: ToolCall, report: Report | None
    ) -> Answer | dict[str, Any]:
        """The answer of a call, or what another server asks the person at its client before it goes on."""
        if call.dry_run != "no" or not self._surface.may_ask(call.tool) or not shows_forms(ctx):
            return await self._surface.call(who, call, report)
        if is_modern(ctx):
            return await self._holding.call(who, call, report)
        return await self._surface.call(who, call, report, asking.asking(ctx))

    async def standing(self, ctx: Context, who: Principal, task: str) -> dict[str, Any]:
        """What a client of the tasks extension finds asked in a task: `inputRequests`, one at most.

        Its key is the approval's id, so that what is read twice is known to be the same question.
        """
        question = await self._question(ctx, who, task)
        if question is None or not self._confirming.asked.stands(question):
            return {}
        return {question.approval: _asking(question)}

    async def answered(self, ctx: Context, who: Principal, task: str, responses: object) -> None:
        """Count what came back for what stands in a task; anything else is ignored, a yes behind a no too."""
        question = await self._question(ctx, who, task)
        if question is not None and self._confirming.asked.was_declined(question):
            return
        said = responses.get(question.approval) if question is not None and isinstance(responses, Mapping) else None
        if question is not None and self._said_yes(question, said):
            await self._confirming.counted(who, question)

    @property
    def _confirming(self) -> Confirming:
        return self._surface.confirming

    async def _question(self, ctx: Context, who: Principal, task: str | None) -> Question | None:
        return await self._confirming.question(who, task) if task is not None and shows_forms(ctx) else None

    async def _heard(
        self, who: Principal, answer: Answer, question: Question, said: object, report: Report | None
    ) -> Answer:
        """What follows on what came back."""
        return await self._surface.confirm(who, answer, question, report) if self._said_yes(question, said) else answer

    def _said_yes(self, question: Question, said: object) -> bool:
        """Only one thing is a yes; a no ends nothing, but is not asked again."""
        content = said.get("content") if isinstance(said, Mapping) else None
        action = said.get("action") if isinstance(said, Mapping) else None
        if action == "decline" or (action == "accept" and content == {FIELD: NO}):
            self._confirming.asked.declined(question)
        return action == "accept" and content == {FIELD: YES}

    async def _ask(self, ctx: Context, question: Question) -> object:
        """What the client of a legacy request says; nothing where it says nothing in time."""
        if not ctx.session.can_send_request:
            return None
        asking = types.ElicitRequest(params=_form(question))
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        self._confirming.asked.open.add(question.about)
        try:
            said = await ctx.session.send_request(asking, types.ElicitResult, self._confirming.seconds, about)
        except (MCPError, ValidationError):
            return None
        finally:
            self._confirming.asked.open.discard(question.about)
        return {"action": said.action, "content": said.content}


class _Codec:
    """Seals with a key of the home, which is made when it is first needed."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._codec = cache(lambda: AESGCMRequestStateCodec([key()]))

    def seal(self, payload: bytes) -> str:
        return self._codec().seal(payload)

    def unseal(self, token: str) -> bytes:
        return self._codec().unseal(token)


def reporting(ctx: Context) -> Report | None:
    """How to tell the client of a request about progress, where it asked for that and can be sent it."""
    streams = ctx.request is None or ctx.request.scope.get(STREAMS, False)
    if not streams or progress_token_from_params(ctx.params) is None:
        return None

    async def report(move: Move) -> None:
        await ctx.session.report_progress(move.progress, move.total, move.message)

    return report


def _named(who: Principal) -> str:
    return json.dumps([who.subject, who.client, who.tenant, *who.chain])


def _form(question: Question) -> types.ElicitRequestFormParams:
    return types.ElicitRequestFormParams(message=question.message, requested_schema=dict(FORM))


def _asking(question: Question) -> dict[str, Any]:
    return {"method": "elicitation/create", "params": _form(question).model_dump(by_alias=True, exclude_none=True)}


def _input_required(question: Question) -> dict[str, Any]:
    return {"resultType": "input_required", "inputRequests": {KEY: _asking(question)}, STATE: question.approval}
