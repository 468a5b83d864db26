"""The product opened inside a test's own process: people of the example home, their tasks, and what is on record."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp_guard.build import Guard, open_guard
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.moves import TaskStatus
from mcp_guard.model.principal import Principal


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Guard]:
    """A serving guard, carrying tasks on."""
    async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
        yield guard


def who(guard: Guard, subject: str, client: str = "agent:local", assurance: str = "token") -> Principal:
    """Somebody with a token."""
    declared = guard.declare(subject, client)
    return replace(declared, auth="bearer", assurance=assurance)  # type: ignore[arg-type]  # a word of the contract


async def call(guard: Guard, tool: str, **arguments: object) -> Answer:
    """A call of Alice's."""
    return await guard.call(who(guard, "user:alice"), ToolCall(guard.new_call_id(), tool, arguments))


def task_of(answer: Answer) -> str:
    """The task an answer names."""
    found: Any = answer.structured["guard"]
    return str(found["task_id"])


async def ended(guard: Guard, task: str, *statuses: str) -> dict[str, Any]:
    """A task of Alice's as soon as it has ended, or has one of these statuses."""
    async with asyncio.timeout(60):
        while True:
            found: Any = await guard.tasks.status(who(guard, "user:alice"), task, 1)
            status = found["task"]["status"]
            if status in statuses or (not statuses and TaskStatus(status).is_final):
                return dict(found["task"])


def states(task: dict[str, Any]) -> dict[str, str]:
    """The states of a task's steps, by id."""
    return {step["id"]: step["state"] for step in task["steps"]}


def records(home: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """What is on record, in order."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
    return [line for line in lines if kind in (None, line["kind"])]
