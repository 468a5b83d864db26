"""An issuer on loopback and a guard's view of it, with a clock that tests own."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from mcp_guard.connect.documents import Documents
from mcp_guard.connect.egress import Egress
from mcp_guard.identity.access_token import AccessTokens
from mcp_guard.identity.claims import ClaimMap
from mcp_guard.identity.directory import Directory
from mcp_guard.identity.issuer import Issuer
from mcp_guard.identity.jwks import KeyCache
from mcp_guard.identity.jwt import Expected
from tests.simulators.clock import FakeClock
from tests.simulators.issuer import AUDIENCE, IssuerSimulator

LOOPBACK = ("127.0.0.0/8",)
DEFAULT_ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})

Open = Callable[..., AccessTokens]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer() -> Iterator[IssuerSimulator]:
    with IssuerSimulator() as running:
        yield running


@pytest.fixture
async def outside() -> AsyncIterator[Documents]:
    egress = Egress()
    yield Documents(egress, LOOPBACK)
    await egress.aclose()


@pytest.fixture
async def accept(issuer: IssuerSimulator, outside: Documents, clock: FakeClock) -> AsyncIterator[Open]:
    """`accept(types=…, jwks=…, names=…, directory=…)`: access tokens of the issuer as a guard believes them."""
    opened: list[AccessTokens] = []

    def opening(
        *,
        types: tuple[str, ...] = ("at+jwt",),
        jwks: str | None = None,
        names: ClaimMap | None = None,
        directory: Directory | None = None,
    ) -> AccessTokens:
        expected = Expected(issuer.name, AUDIENCE, DEFAULT_ALGORITHMS, frozenset(types))
        keys = KeyCache(Issuer(issuer.name, jwks, outside.get).key_set, clock)
        known = directory or Directory({})
        tokens = AccessTokens(expected, keys, names or ClaimMap(), lambda: known, clock)
        opened.append(tokens)
        return tokens

    yield opening
    for tokens in opened:
        await tokens.keys.aclose()
