"""A served home whose files a test edits, with a reloader that looks when it is told to."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.build import Guard, open_guard, reload
from mcp_guard.build.reload import Reloader
from mcp_guard.build.watch import stamp_of
from mcp_guard.config.load import load
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from tests.simulators.process import Program

NEVER = 86_400.0


@dataclass(frozen=True)
class Desk:
    """A serving guard on a home of its own."""

    home: Path
    guard: Guard
    reloader: Reloader

    def alice(self) -> Principal:
        return self.guard.declare(None, None)

    async def call(self, tool: str, who: Principal | None = None, **arguments: object) -> Answer:
        return await self.guard.call(who or self.alice(), ToolCall(self.guard.new_call_id(), tool, arguments))

    async def refund(self, amount: float, order: str = "ORD-1001") -> Answer:
        return await self.call("payments_refund", order_id=order, amount=amount)

    def edit(self, file: str, change: Callable[[str], str]) -> None:
        """Change one file the way an editor does."""
        path = self.home / file
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, "the edit changed nothing"
        path.write_text(after, encoding="utf-8")

    async def settle(self) -> None:
        """Look until a change that is there has been judged: once to see it, once to find it settled."""
        await self.reloader.look()
        await self.reloader.look()

    def records(self, kind: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.home / "var" / "guard.db")) as database:
            lines = [json.loads(line) for (line,) in database.execute("SELECT line FROM log ORDER BY n")]
        return [line for line in lines if line["kind"] == kind]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """`serve(home)`: a guard that serves a home and reloads only when the test looks."""
    monkeypatch.setattr(reload, "WATCH_SECONDS", NEVER)

    @asynccontextmanager
    async def serving(home: Path) -> AsyncIterator[Desk]:
        loaded = load(home, environ={})
        stamp = stamp_of(loaded)
        async with open_guard(loaded, serving=True, verbosity=0) as guard:
            yield Desk(home, guard, Reloader(guard.live, guard.journal, guard.pipeline, stamp))

    return serving


@pytest.fixture
async def served(desk: Program, serve: Callable[[Path], Any]) -> AsyncIterator[Desk]:
    """The example home, served."""
    async with serve(desk.home) as opened:
        yield opened
