from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.connect.addresses import Denied, Network, embedded, judge, literal, networks_of, special


def words(text: str) -> list[str]:
    return text.split()


SPECIAL = words("""
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.8 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.1.1 192.175.48.1 198.18.0.1 198.19.255.255
198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::a00:1 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1
2620:4f:8000::1 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 feff::1 ff02::1 4000::1
e000::1
""")
PUBLIC = words("""
1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.255.255 198.20.0.1
223.255.255.255 2606:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 2620:fe::fe 2003::1
""")


@pytest.mark.holds("egress:judged-addresses")
@pytest.mark.parametrize("text", SPECIAL)
def test_a_special_purpose_address_is_denied(text: str) -> None:
    with pytest.raises(Denied) as denied:
        judge(ip_address(text), ())
    assert text not in str(denied.value)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text: str) -> None:
    judge(ip_address(text), ())


@given(st.ip_addresses(v=4))
@settings(deadline=None, max_examples=300)
def test_nothing_the_standard_library_calls_private_is_public(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert special(address) is not None


@given(st.ip_addresses(v=6))
@settings(deadline=None, max_examples=300)
def test_only_global_unicast_is_public(address: IPv6Address) -> None:
    if special(address) is None:
        assert address in ip_network("2000::/3")
        assert address.is_global


@pytest.mark.holds("egress:opt-in")
@given(st.ip_addresses(), st.ip_addresses(), st.integers(8, 32))
@settings(deadline=None, max_examples=300)
def test_an_opt_in_allows_its_own_network_and_no_other(
    address: IPv4Address | IPv6Address, base: IPv4Address | IPv6Address, prefix: int
) -> None:
    network = ip_network(f"{base}/{prefix}", strict=False)
    try:
        judge(address, [network])
    except Denied:
        assert address not in network or embedded(address) is not None
    else:
        assert special(address) is None or address in network


@pytest.mark.parametrize(
    ("carrier", "inner"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("::ffff:0:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2002:a00:1::", "10.0.0.1"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "10.0.0.1"),
    ],
)
@pytest.mark.holds("egress:opt-in")
def test_a_tunnel_is_allowed_only_to_where_the_tool_may_go(carrier: str, inner: str) -> None:
    tunnel: Network = ip_network(f"{carrier}/128")
    address = ip_address(carrier)
    assert str(embedded(address)) == inner
    with pytest.raises(Denied):
        judge(address, [tunnel])
    judge(address, [tunnel, ip_network("10.0.0.0/8")])


AMBIGUOUS = words("""
2130706433 0x7f000001 017700000001 0x7f.1 0177.0.0.1 127.1 127.0.1 1.2.3 0 00.0.0.0 127.0.0.1. 127.0.0.01 0x 10.0.0.0x1
256.1.1.1 1.2.3.4.5 0127.0.0.1 [127.0.0.1 fe80::1%25eth0 [::1%lo]
""")
NOT_HOSTS = [
    "",
    " ",
    "a b",
    "a..b",
    ".a",
    "-a.b",
    "a-.b",
    "a_b c",
    "%31%32%37.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "bücher.example",
]
NOT_HOSTS += [
    "a/b",
    "a\\b",
    "a?b",
    "a#b",
    "a@b",
    "a\x00b",
    "a\nb",
    "ex\u00adample.com",
    "[]",
    "[a]",
    "x" * 64,
    ("a." * 127) + "bb",
]


@pytest.mark.holds("egress:one-spelling")
@pytest.mark.parametrize("host", AMBIGUOUS + NOT_HOSTS)
def test_a_host_with_two_readings_is_denied(host: str) -> None:
    with pytest.raises(Denied):
        literal(host)


@pytest.mark.parametrize(
    "host", ["localhost", "example.com", "example.com.", "xn--bcher-kva.example", "my_service", "1a.b", "3com"]
)
def test_a_name_is_a_name(host: str) -> None:
    assert literal(host) is None


@given(st.ip_addresses())
@settings(deadline=None, max_examples=100)
def test_an_address_in_its_usual_form_is_that_address(address: IPv4Address | IPv6Address) -> None:
    assert literal(str(address)) == address


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33", "fe80::/200"])
def test_a_network_is_written_in_full(text: str) -> None:
    with pytest.raises(ValueError):
        networks_of([text])
