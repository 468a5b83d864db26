from ipaddress import ip_network

import pytest

from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.dialling import judged_addresses, system_resolve
from tests.simulators.resolver import ResolverSimulator


@pytest.mark.holds("egress:judged-addresses")
@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["93.184.216.34", "::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["93.184.216.34", "169.254.169.254"],
        ["not an address"],
        ["93.184.216.34"] * 17,
    ],
)
async def test_one_bad_answer_denies_the_name(answer: list[str]) -> None:
    with pytest.raises(Denied):
        await judged_addresses("api.example", 443, (), ResolverSimulator({"api.example": [answer]}))


async def test_good_answers_are_dialled_in_order() -> None:
    resolver = ResolverSimulator({"api.example": [["2606:4700::1111", "1.1.1.1"]]})
    assert await judged_addresses("api.example", 443, (), resolver) == ["2606:4700::1111", "1.1.1.1"]


async def test_an_address_is_not_looked_up() -> None:
    resolver = ResolverSimulator()
    assert await judged_addresses("10.0.0.1", 80, [ip_network("10.0.0.0/8")], resolver) == ["10.0.0.1"]
    assert resolver.asked == []


async def test_a_name_without_addresses_does_not_resolve() -> None:
    with pytest.raises(OSError, match="no address"):
        await judged_addresses("api.example", 443, (), ResolverSimulator({"api.example": [[]]}))


async def test_the_systems_answers_are_addresses() -> None:
    assert set(await system_resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
