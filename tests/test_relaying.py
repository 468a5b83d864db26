"""Progress that somebody else tells, passed on: ever growing, seldom, before the answer and never after it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from mcp_guard.model.back_channel import Move
from mcp_guard.relaying import relayed


@dataclass
class Client:
    """Whoever is told: what they heard, and how they take it."""

    heard: list[float] = field(default_factory=list)
    reads: bool = True

    async def __call__(self, move: Move) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.heard.append(move.progress)


def _move(progress: float) -> Move:
    return Move(progress, None, None)


@pytest.mark.holds("upstream:progress")
async def test_it_only_grows_and_the_last_word_comes_before_the_end() -> None:
    client = Client()
    async with relayed(client) as back:
        assert back.hear is not None
        for progress in (0, 3, 3, 2, 7, 5):
            back.hear(_move(progress))
            await asyncio.sleep(0)
    assert client.heard == sorted(set(client.heard))
    assert client.heard[-1] == 7
    back.hear(_move(8))
    await asyncio.sleep(0)
    assert client.heard[-1] == 7, "nothing follows the answer"


@pytest.mark.holds("upstream:progress")
async def test_whatever_is_said_a_client_is_told_at_most_ten_times_a_second() -> None:
    client = Client()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with relayed(client) as back:
        assert back.hear is not None
        for progress in range(3_000):
            back.hear(_move(progress))
            if progress % 100 == 0:
                await asyncio.sleep(0.01)
    assert client.heard[-1] == 2_999
    assert 2 <= len(client.heard) <= 2 + (loop.time() - begun) / 0.1


@pytest.mark.holds("upstream:progress")
async def test_a_client_that_does_not_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_guard.relaying._SEND_SECONDS", 0.05)
    client = Client(reads=False)
    async with asyncio.timeout(60), relayed(client) as back:
        assert back.hear is not None
        back.hear(_move(1))
        back.hear(_move(2))
    assert client.heard == []


@pytest.mark.holds("upstream:progress")
async def test_a_client_that_is_gone_ends_it() -> None:
    times = 0

    async def gone(_: Move) -> None:
        nonlocal times
        times += 1
        raise ConnectionError

    async with relayed(gone) as back:
        assert back.hear is not None
        back.hear(_move(1))
        await asyncio.sleep(0.02)
        back.hear(_move(2))
    assert times == 1


async def test_who_does_not_ask_has_no_way_back() -> None:
    async with relayed(None) as back:
        assert back.hear is None
