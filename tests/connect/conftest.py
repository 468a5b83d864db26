import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from mcp_guard.connect.egress import Egress
from mcp_guard.connect.factory import Means
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.simulators.upstream import UpstreamSimulator


@pytest.fixture
def upstream() -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator() as running:
        yield running


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """The usual authorities, read once."""
    return httpx.create_ssl_context(trust_env=False)


@pytest.fixture
def environ() -> dict[str, str]:
    """The environment secrets are resolved from."""
    return {}


@pytest.fixture
async def means(tmp_path: Path, environ: dict[str, str], trust: ssl.SSLContext) -> AsyncIterator[Means]:
    redactor = Redactor()
    async with Means.open(tmp_path, Resolver(tmp_path, environ, redactor), redactor) as opened:
        opened.make_egress = lambda: Egress(trust=trust)
        yield opened
