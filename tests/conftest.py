"""Fixtures for tests that use the product as a whole: the example home, seeded, with its payments sandbox."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mcp_guard.config.home import SECRETS
from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, payments_key, seed
from tests.budget import lift
from tests.simulators.canary import holding
from tests.simulators.process import Program

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Commands and guards in this process set the loggers up for themselves; the next test finds them as they were."""
    root = logging.getLogger("mcp_guard")
    handlers, propagate, level = list(root.handlers), root.propagate, root.level
    yield
    root.handlers[:], root.propagate = handlers, propagate
    root.setLevel(level)


@pytest.fixture(scope="session")
def payments_secret() -> str:
    return payments_key()


@pytest.fixture(scope="session")
def payments(payments_secret: str) -> Iterator[sandbox.Sandbox]:
    """The payments service; its ledger is the truth about what happened."""
    with sandbox.running(payments_secret) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, payments: sandbox.Sandbox, payments_secret: str) -> Iterator[Program]:
    """A fresh copy of the example home. Whatever a test does with it, its secret is a canary: when the test is over it
    stands in no file but its own (I8)."""
    home = copy_home(tmp_path / "desk", payments.port)
    lift(home)  # a test of something else may refund as often as it wants
    seed(home, payments_secret)
    yield Program(home)
    assert holding(home, payments_secret) == {home / SECRETS / "payments_key"} & set(home.rglob("*"))
