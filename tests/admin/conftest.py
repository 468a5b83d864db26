"""Use-cases on a store of their own, at a moment tests own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Filters, Query
from mcp_guard.store.store import Store
from tests.simulators.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "guard.db", "test", clock=clock)
    yield opened
    await opened.aclose()


@pytest.fixture
async def journal(store: Store) -> AsyncIterator[Journal]:
    made = Journal(store)
    yield made
    await made.aclose()


def unlabelled(*_: object) -> None:
    """What reading remembers where no tool has labels."""


async def records(store: Store) -> list[dict[str, Any]]:
    """Everything on record, oldest first."""
    page = await Query(store).page(Filters(limit=500))
    return [dict(record) for record in page.records[::-1]]
