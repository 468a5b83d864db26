"""Fixtures for tests that use the product as a whole: the example home, seeded, with its payments sandbox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, payments_key, seed
from tests.simulators.process import Program


@pytest.fixture(scope="session")
def payments_secret() -> str:
    return payments_key()


@pytest.fixture(scope="session")
def payments(payments_secret: str) -> Iterator[sandbox.Sandbox]:
    """The payments service; its ledger is the truth about what happened."""
    with sandbox.running(payments_secret) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str) -> Program:
    """A fresh copy of the example home."""
    home = copy_home(tmp_path / "desk", payments.port)
    seed(home, payments_secret)
    return Program(home)
