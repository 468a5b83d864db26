"""Reading a resource of another server, and getting a prompt of it: calls like those of its tools.

What comes back is text of a stranger. Only what MCP names is passed on; a content that is not of the type that was
locked, or does not begin as the type it names, is not passed on at all.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

from mcp.client import Client
from mcp_types import (
    BlobResourceContents,
    CompleteRequest,
    CompleteRequestParams,
    CompleteResult,
    CompletionArgument,
    CompletionContext,
    GetPromptRequest,
    GetPromptRequestParams,
    GetPromptResult,
    PromptReference,
    ReadResourceRequest,
    ReadResourceRequestParams,
    ReadResourceResult,
    RequestParamsMeta,
    ResourceTemplateReference,
    TextResourceContents,
)
from pydantic import TypeAdapter

from mcp_guard.connect.content import shown_block
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.asking import Asking
from mcp_guard.connect.mcp.connector import McpConnector, bad_answer, checked
from mcp_guard.connect.media import begins_as
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.uri_template import UriTemplate, is_uri
from mcp_guard.model.call import Invocation
from mcp_guard.model.tool import uri_here

_READ: Final[TypeAdapter[ReadResourceResult]] = TypeAdapter(ReadResourceResult)
_COMPLETED: Final[TypeAdapter[CompleteResult]] = TypeAdapter(CompleteResult)
MOST_VALUES: Final = 100
"""Values of one completion (MCP 2026-07-28, completion)."""
LONGEST_VALUE: Final = 1024
_GOT: Final[TypeAdapter[GetPromptResult]] = TypeAdapter(GetPromptResult)
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:; ?[A-Za-z0-9=_.\"-]{1,64}){0,4}"
)


class _Reader(McpConnector):
    """Gets something whose arguments the server may help to complete."""

    async def ask(
        self, client: Client, invocation: Invocation, meta: RequestParamsMeta | None, asking: Asking
    ) -> object:
        if invocation.completes is not None:
            return await self._completed(client, invocation.completes, invocation.arguments)
        return await self.read(client, invocation.arguments, meta)

    async def read(self, client: Client, arguments: Mapping[str, object], meta: RequestParamsMeta | None) -> object:
        """What the server gives."""
        raise NotImplementedError

    async def _completed(self, client: Client, name: str, arguments: Mapping[str, object]) -> object:
        """What a server says an argument may be: `{"values": [...], "more": bool}`; nothing where it says nothing about
        that at all. At most `MOST_VALUES`, none longer than `LONGEST_VALUE`."""
        if client.server_capabilities.completions is None:
            return {"values": [], "more": False}
        spec = self.spec
        given = {key: str(value) for key, value in arguments.items()}
        ref: PromptReference | ResourceTemplateReference = ResourceTemplateReference(type="ref/resource", uri=spec.tool)
        if spec.primitive == "prompt":
            ref = PromptReference(type="ref/prompt", name=spec.tool)
        others = {key: value for key, value in given.items() if key != name}
        params = CompleteRequestParams(
            ref=ref,
            argument=CompletionArgument(name=name, value=given[name]),
            context=CompletionContext(arguments=others) if others else None,
        )
        said = (await self.sent(client, CompleteRequest(params=params), _COMPLETED)).completion
        values = [value for value in said.values[:MOST_VALUES] if len(value) <= LONGEST_VALUE]
        return checked({"values": values, "more": bool(said.has_more) or len(values) < len(said.values)})


class ResourceConnector(_Reader):
    """Reads one resource, or one of those a template stands for. The value is `{"contents": [...]}`."""

    async def read(self, client: Client, arguments: Mapping[str, object], meta: RequestParamsMeta | None) -> object:
        uri = self._uri(arguments)
        request = ReadResourceRequest(params=ReadResourceRequestParams(uri=uri, _meta=meta))
        result = await self.sent(client, request, _READ)
        return checked({"contents": [self._content(one, uri) for one in result.contents]})

    def _uri(self, arguments: Mapping[str, object]) -> str:
        """What the server is asked for: made of what was decided about, never what a client wrote."""
        if self.spec.primitive == "resource":
            return self.spec.tool
        try:
            return UriTemplate(self.spec.tool).uri(arguments)
        except ValueError as error:
            raise Failed("args_invalid", str(error), retry="changed") from None

    def _content(self, found: TextResourceContents | BlobResourceContents, asked: str) -> dict[str, object]:
        uri, kind = str(found.uri), found.mime_type
        if not is_uri(uri):
            raise bad_answer("what it names its content by is no URI")
        if kind is not None and _MEDIA_TYPE.fullmatch(kind) is None:
            raise bad_answer("its type is none")
        if self.spec.mime and uri == asked and kind not in (None, self.spec.mime):
            raise bad_answer("it is not of the type that was let in")
        shown: dict[str, object] = {"uri": uri_here(self.spec.upstream.name, uri)}
        if kind := kind or (self.spec.mime if uri == asked else None):
            shown["mimeType"] = kind
        if isinstance(found, TextResourceContents):
            return shown | {"text": found.text}
        return shown | {"blob": self._blob(found.blob, kind)}

    def _blob(self, text: str, kind: str | None) -> str:
        try:
            data = b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise bad_answer("its content is not base64") from None
        if kind is not None and not begins_as(kind, data):
            raise bad_answer("its content is not of the type it names")
        for charset in ("latin-1", "utf-8"):
            told = data.decode(charset, "replace")
            if self.redactor.text(told) != told:  # as base64 nobody would find it again
                raise bad_answer("it holds a secret")
        return text


class PromptConnector(_Reader):
    """Gets one prompt. The value is `{"description"?, "messages": [{"role", "content"}]}`."""

    async def read(self, client: Client, arguments: Mapping[str, object], meta: RequestParamsMeta | None) -> object:
        params = GetPromptRequestParams(
            name=self.spec.tool, arguments={name: str(value) for name, value in arguments.items()}, _meta=meta
        )
        result = await self.sent(client, GetPromptRequest(params=params), _GOT)
        said = {} if result.description is None else {"description": result.description}
        messages = [
            {"role": one.role, "content": self._block(one.content.model_dump(mode="json", by_alias=True))}
            for one in result.messages
        ]
        return checked({**said, "messages": messages})

    def _block(self, block: Mapping[str, object]) -> Mapping[str, object]:
        shown = shown_block(block)
        if shown is None:  # as it is with the results of tools
            return {"type": "text", "text": dumps(block).decode()}
        resource = shown.get("resource")
        if isinstance(resource, dict):
            return {**shown, "resource": {**resource, "uri": self._here(resource.get("uri"))}}
        return {**shown, "uri": self._here(shown["uri"])} if "uri" in shown else shown

    def _here(self, uri: object) -> str:
        if not isinstance(uri, str) or not is_uri(uri):
            raise bad_answer("what it names a resource by is no URI")
        return uri_here(self.spec.upstream.name, uri)
