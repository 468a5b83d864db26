"""Every engine there is, behind one door: processes on the same tasks that begin and die."""

from pathlib import Path
from typing import Protocol

from mcp_guard.secrets.vault import Vault
from mcp_guard.store.store import Store
from mcp_guard.tasks.engine import Engine
from mcp_guard.tasks.store import SqliteEngine
from tests.tasks.reference import ReferenceEngine, Tables


class Engines(Protocol):
    """One set of tasks, and the processes that use it."""

    def start(self, boot: str) -> Engine:
        """Another process."""
        ...

    async def die(self, boot: str) -> None:
        """A process is gone; nothing of what it holds is put down first."""
        ...


class SqliteEngines:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "tasks.db"
        self._stores: dict[str, Store] = {}

    def start(self, boot: str) -> Engine:
        self._stores[boot] = Store.open(self._path, "tasks", boot=boot)
        return SqliteEngine(self._stores[boot], lambda: Vault(bytes(32)))

    async def die(self, boot: str) -> None:
        await self._stores.pop(boot).aclose()


class ReferenceEngines:
    def __init__(self) -> None:
        self._tables = Tables()
        self._engines: dict[str, ReferenceEngine] = {}

    def start(self, boot: str) -> Engine:
        self._engines[boot] = ReferenceEngine(self._tables, boot)
        return self._engines[boot]

    async def die(self, boot: str) -> None:
        self._engines.pop(boot).die()
