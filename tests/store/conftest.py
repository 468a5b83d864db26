"""A store of its own for each test, on a clock the test owns."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mcp_guard.store.ledger import Ledger
from mcp_guard.store.store import Store
from tests.simulators.clock import FakeClock

BOOT = "00000000000000aa"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "guard.db"


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store.open(path, "test", clock=clock, boot=BOOT)
    yield opened
    await opened.aclose()


@pytest.fixture
def ledger(path: Path, clock: FakeClock) -> Iterator[Ledger]:
    """A ledger without a thread, for faults placed exactly."""
    made = Ledger(path, BOOT, clock)
    made.create("test")
    yield made
    made.close()
