"""A journal over a store of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mcp_guard.audit.journal import Journal
from mcp_guard.store.store import Store
from tests.simulators.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "guard.db"


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store.open(path, "test", clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture
async def journal(store: Store) -> AsyncIterator[Journal]:
    made = Journal(store)
    yield made
    await made.aclose()
