"""An MCP server with what the conformance suite wants that a home declares by mirroring: pictures, sounds, progress,
questions, prompts and resources.

    python upstream.py

Mirrored under the prefix `test`, its names are those the suite asks for. Over stdio, with nothing but the SDK.
"""

import base64
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
)
SOUND = base64.b64encode(
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\x02\x00\x00\x00\x00\x00"
).decode()
Result = types.CallToolResult | types.InputRequiredResult
ANYTHING: dict[str, Any] = {"type": "object"}


def _embedded(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=contents)


TEXT = types.TextContent(type="text", text="Several kinds of content:")
IMAGE = types.ImageContent(type="image", data=PICTURE, mime_type="image/png")
AUDIO = types.AudioContent(type="audio", data=SOUND, mime_type="audio/wav")

CONTENTS: dict[str, list[types.ContentBlock]] = {
    "image_content": [IMAGE],
    "audio_content": [AUDIO],
    "embedded_resource": [_embedded("test://embedded-resource", "text/plain", "A resource in an answer.")],
    "multiple_content_types": [
        TEXT,
        IMAGE,
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}


PROMPTS: dict[str, list[str]] = {
    "simple_prompt": [],
    "prompt_with_arguments": ["arg1", "arg2"],
    "prompt_with_embedded_resource": ["resourceUri"],
    "prompt_with_image": [],
}
"""The names of what each prompt takes."""
ASKS: dict[str, dict[str, Any]] = {
    "elicitation": {"username": {"type": "string"}, "email": {"type": "string"}},
    "elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]},
        },
    },
    **{
        f"input_required_result_{what}": {"name": {"type": "string"}}
        for what in ("elicitation", "tampered_state", "request_state", "capabilities", "multi_round")
    },
}
"""What is asked of whoever called, by tool."""
TWICE = {"input_required_result_multi_round": 2}
KEY = "user_name"
PROGRESS = "tool_with_progress"
STEPS = (0, 50, 100)


async def _list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    names = [*CONTENTS, *ASKS, PROGRESS]
    tools = [types.Tool(name=name, description="For the suite.", input_schema=ANYTHING) for name in names]
    return types.ListToolsResult(tools=tools, cache_scope="private", ttl_ms=0)


def _asked(params: types.CallToolRequestParams) -> Result:
    """The question, and once it was asked often enough what came back."""
    asked = int(params.request_state or 0)
    if asked == TWICE.get(params.name, 1):
        text = f"Answered: {params.input_responses}"
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])
    form = types.ElicitRequestFormParams(
        message="Tell about yourself.", requested_schema={"type": "object", "properties": ASKS[params.name]}
    )
    return types.InputRequiredResult(
        input_requests={KEY: types.ElicitRequest(params=form)}, request_state=str(asked + 1)
    )


async def _call_tool(ctx: Any, params: types.CallToolRequestParams) -> Result:
    if params.name == PROGRESS:
        for step in STEPS:
            await ctx.session.report_progress(step, STEPS[-1])
            await anyio.sleep(0.15)
    if params.name in ASKS:
        return _asked(params)
    return types.CallToolResult(content=CONTENTS.get(params.name, [TEXT]))


async def _list_prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
    prompts = [
        types.Prompt(
            name=name,
            description="For the suite.",
            arguments=[types.PromptArgument(name=one, description="A text.", required=True) for one in arguments],
        )
        for name, arguments in PROMPTS.items()
    ]
    return types.ListPromptsResult(prompts=prompts, cache_scope="private", ttl_ms=0)


async def _get_prompt(ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    given = params.arguments or {}
    blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=f"A prompt with {sorted(given.items())}")]
    if params.name == "prompt_with_image":
        blocks.insert(0, IMAGE)
    if "resourceUri" in given:
        blocks.insert(0, _embedded(given["resourceUri"], "text/plain", "What was to be embedded."))
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=block) for block in blocks])


async def _complete(ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
    fitting = [word for word in ("test", "tested") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=fitting))


async def _main() -> None:
    server: Server[Any] = Server(
        "suite",
        get_tool_input_schema=lambda _: ANYTHING,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
        on_completion=_complete,
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_main)
