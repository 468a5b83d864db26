"""Fixtures for tests that use the product as a whole: the example home, seeded, with its payments sandbox."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mcp_guard.config.home import SECRETS
from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, payments_key, seed
from tests.budget import lift
from tests.simulators.canary import holding
from tests.simulators.parsed import parsed
from tests.simulators.process import Program

MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC and shutil.disk_usage(MEMORY).free > 4e9:
    # A disk is waited for at each of the many commits, for nothing: that they are synced is a test of its own.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# What programs are made of is compiled once, whatever whoever runs the tests has said for this process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two workers a processor (`-n auto`): half of the time a test waits, for processes, sockets and deadlines."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Commands and guards in this process set the loggers up for themselves; the next test finds them as they were."""
    root = logging.getLogger("mcp_guard")
    handlers, propagate, level = list(root.handlers), root.propagate, root.level
    yield
    root.handlers[:], root.propagate = handlers, propagate
    root.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _parsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each text of a manifest is parsed once."""
    parsed.keep(tmp_path_factory.mktemp("parsed"))
    yield
    parsed.keep(None)


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
