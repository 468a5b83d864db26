"""Resources, templates and prompts of other servers, as clients meet them: lists in pages, and governed calls.

Reading and getting are calls of the pipeline like those of tools; only their answers are other shapes. What would be a
tool's `isError` is a JSON-RPC error here, with the same view of it in `data.guard`.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_guard.kit.uri_template import UriTemplate
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.errors import GuardError, UnknownTool
from mcp_guard.model.principal import Principal
from mcp_guard.model.tool import METHODS, OBJECTS, McpSpec, Method, Primitive, Tool, uri_here
from mcp_guard.server.asked import TRACE_KEY, dry_run_of, trace_of
from mcp_guard.server.failures import not_now
from mcp_guard.server.gate import NEEDED_SCOPES
from mcp_guard.server.surface import Surface

PAGE: Final = 200
"""Entries of one page of a list."""
DECISION_KEY: Final = "mcp-guard/decision"
"""Where the decision of a dry run stands, whose answer holds nothing else."""
_MAX_NAME: Final = 2048
_UNKNOWN: Final[Mapping[Method, str]] = {"resources/read": "Unknown resource", "prompts/get": "Unknown prompt"}

Context = ServerRequestContext[Any, Any]


def is_mirrored(uri: str) -> bool:
    """Whether a URI is in the name space of other servers; none of the guard's own has a `+` in its scheme."""
    return "+" in uri.partition(":")[0]


class Mirrored:
    """What other servers offer beside tools, for the clients of one guard."""

    def __init__(self, surface: Surface, who: Callable[[Context], Principal]) -> None:
        self._surface = surface
        self._who = who

    async def resources(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> tuple[list[types.Resource], str | None]:
        """A page of those the caller may see, and where the next one begins. Raises `GuardError`."""
        tools, cursor = await self._page(ctx, params, "resource")
        return [_resource(tool, _spec(tool)) for tool in tools], cursor

    async def templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> tuple[list[types.ResourceTemplate], str | None]:
        """A page of those the caller may see, and where the next one begins. Raises `GuardError`."""
        tools, cursor = await self._page(ctx, params, "template")
        return [_template(tool, _spec(tool)) for tool in tools], cursor

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        try:
            tools, cursor = await self._page(ctx, params, "prompt")
        except GuardError as error:
            raise not_now("prompts", error) from None
        prompts = [_prompt(tool) for tool in tools]
        return types.ListPromptsResult(prompts=prompts, next_cursor=cursor, cache_scope="private", ttl_ms=0)

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        name, arguments = OBJECTS["prompt"] + params.name[:_MAX_NAME], params.arguments or {}
        answer, meta = await self._call(ctx, name, arguments, "prompts/get")
        try:
            return types.GetPromptResult.model_validate({**_held(answer, "messages"), "_meta": meta})
        except ValidationError:  # policy hid a part of it that is not a text
            message = {"role": "user", "content": {"type": "text", "text": answer.text}}
            return types.GetPromptResult.model_validate({"messages": [message], "_meta": meta})

    async def read(self, ctx: Context, uri: str) -> types.ReadResourceResult:
        """The contents of a resource, under the URIs they have here."""
        meant = self._surface.find_resource(uri)
        if meant is None:
            name, arguments = OBJECTS["resource"] + uri[:_MAX_NAME], {}
        else:
            name, arguments = meant.name, dict(meant.arguments)
        answer, meta = await self._call(ctx, name, arguments, "resources/read")
        private = {"cacheScope": "private", "ttlMs": 0, "_meta": meta}
        try:
            return types.ReadResourceResult.model_validate({**_held(answer, "contents"), **private})
        except ValidationError:
            content = {"uri": uri, "mimeType": "application/json", "text": answer.text}
            return types.ReadResourceResult.model_validate({"contents": [content], **private})

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Values for an argument of a prompt or a template, for whoever may call it with what it is given so far."""
        ref, asked = params.ref, params.argument
        context = (params.context.arguments if params.context is not None else None) or {}
        arguments = {**context, asked.name: asked.value}
        if isinstance(ref, types.PromptReference):
            name, method = OBJECTS["prompt"] + ref.name[:_MAX_NAME], METHODS["prompt"]
        else:
            known = self._surface.find_template(ref.uri)
            name, method = known or OBJECTS["template"] + ref.uri[:_MAX_NAME], METHODS["template"]
        answer, meta = await self._call(ctx, name, arguments, method, completes=asked.name)
        found = answer.structured.get("values")
        values = found if isinstance(found, list) else []
        if isinstance(ref, types.ResourceTemplateReference):
            values = [one for one in values if self._is_read_by(name, ref.uri, {**arguments, asked.name: one})]
        said = {"values": values, "hasMore": answer.structured.get("more") is True}
        return types.CompleteResult.model_validate({"completion": said, "_meta": meta})

    def _is_read_by(self, name: str, template: str, values: Mapping[str, object]) -> bool:
        """Whether a template with these values stands for something, as far as there are values: what is denied, or
        listed by itself and maybe hidden, is not suggested either."""
        upstream, _, text = template.partition("+")
        own = UriTemplate(text)
        if own.variables.keys() - values.keys():
            return True
        try:
            meant = self._surface.find_resource(uri_here(upstream, own.uri(values)))
        except ValueError:
            return False
        return meant is not None and meant.name == name

    async def _page(
        self, ctx: Context, params: types.PaginatedRequestParams | None, what: Primitive
    ) -> tuple[Sequence[Tool], str | None]:
        after = _opened(params.cursor if params is not None else None)
        found = [tool for tool in await self._surface.list_offers(self._who(ctx), what) if tool.name > after]
        more = len(found) > PAGE
        return found[:PAGE], _cursor(found[PAGE - 1].name) if more else None

    async def _call(
        self,
        ctx: Context,
        name: str,
        arguments: Mapping[str, object],
        method: Method,
        completes: str | None = None,
    ) -> tuple[Answer, dict[str, object]]:
        """Carry out one governed call; its answer with what goes into `_meta`. Raises `MCPError` for anything else than
        what was asked for."""
        trace, who = trace_of(ctx), self._who(ctx)
        call = ToolCall(self._surface.new_call_id(), name, arguments, trace, dry_run_of(ctx.params), method, completes)
        try:
            answer = await self._surface.call(who, call)
        except UnknownTool:
            raise MCPError(types.INVALID_PARAMS, _UNKNOWN[method]) from None
        if answer.lacks_scope and ctx.request is not None:
            ctx.request.scope[NEEDED_SCOPES] = self._surface.obtainable_scopes(who, name)
        meta = answer.meta() | ({} if trace is None else {TRACE_KEY: trace.id})
        guard = answer.structured.get("guard")
        if isinstance(guard, Mapping) and guard.get("code") == "dry_run":
            return answer, meta | {DECISION_KEY: guard}
        if isinstance(guard, Mapping):
            code = types.INVALID_PARAMS if guard.get("code") == "args_invalid" else types.INTERNAL_ERROR
            raise MCPError(code, answer.text, {"guard": guard, **meta})
        return answer, meta


def _held(answer: Answer, key: str) -> Mapping[str, object]:
    return {key: []} if "guard" in answer.structured else answer.structured


def _cursor(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode("ascii")


def _opened(cursor: str | None) -> str:
    """The name a page begins behind. Whoever makes up a cursor begins elsewhere among what they may see anyway."""
    try:
        return (
            "" if cursor is None else b64decode(cursor[: 4 * _MAX_NAME].encode("ascii"), b"-_", validate=True).decode()
        )
    except ValueError:
        raise MCPError(types.INVALID_PARAMS, "Invalid cursor") from None


def _spec(tool: Tool) -> McpSpec:
    assert isinstance(tool.connector, McpSpec), "only other servers have any"
    return tool.connector


def _resource(tool: Tool, spec: McpSpec) -> types.Resource:
    return types.Resource(
        uri=uri_here(spec.upstream.name, spec.tool),
        name=tool.name.removeprefix(OBJECTS["resource"]),
        title=tool.title,
        description=tool.description,
        mime_type=spec.mime or None,
    )


def _template(tool: Tool, spec: McpSpec) -> types.ResourceTemplate:
    return types.ResourceTemplate(
        uri_template=uri_here(spec.upstream.name, spec.tool),
        name=tool.name.removeprefix(OBJECTS["template"]),
        title=tool.title,
        description=tool.description,
        mime_type=spec.mime or None,
    )


def _prompt(tool: Tool) -> types.Prompt:
    properties, required = tool.input_schema["properties"], tool.input_schema["required"]
    assert isinstance(properties, Mapping)
    assert isinstance(required, Sequence)
    arguments = [
        types.PromptArgument(
            name=name, title=said.get("title"), description=said.get("description"), required=name in required
        )
        for name, said in properties.items()
    ]
    return types.Prompt(
        name=tool.name.removeprefix(OBJECTS["prompt"]),
        title=tool.title,
        description=tool.description,
        arguments=arguments,
    )
