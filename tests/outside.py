"""The product from outside: calls over HTTP to a server that may die over them."""

import asyncio
from typing import Any

from tests.simulators.process import Serving
from tests.simulators.raw import call_body, exchange, request


async def structured(serving: Serving, token: str, tool: str, **arguments: object) -> dict[str, Any] | None:
    """The structured result of a call; `None` where the server died over it."""
    answer = await exchange(serving.port, request(serving.port, call_body(tool, arguments), token=token, tool=tool))
    if answer.status == 0:
        return None
    result: Any = answer.json["result"]
    return dict(result["structuredContent"])


async def rests(serving: Serving, token: str, task: str) -> dict[str, Any]:
    """A task once it has ended or somebody has to say what became of a step."""
    async with asyncio.timeout(60):
        while True:
            found: Any = await structured(serving, token, "task_status", task_id=task, wait_s=1)
            shown = found["task"]
            doubt = any(step["state"] == "in_doubt" for step in shown["steps"])
            if doubt or shown["status"] in ("completed", "failed", "cancelled"):
                return dict(shown)
