from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mcp_guard.connect.factory import Means
from mcp_guard.secrets.redact import Redactor
from tests.simulators.upstream import UpstreamSimulator


@pytest.fixture
def upstream() -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator() as running:
        yield running


@pytest.fixture
def environ() -> dict[str, str]:
    """The environment secrets are resolved from."""
    return {}


@pytest.fixture
async def means(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[Means]:
    async with Means.open(tmp_path, Redactor(), environ) as opened:
        yield opened
