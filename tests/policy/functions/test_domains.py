"""`all_domains`: one address that is elsewhere, or cannot be judged, is enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.functions.domains import all_domains, bind_all_domains


@pytest.mark.parametrize(
    "values",
    [
        "ada@acme.com",
        "ADA@ACME.COM",
        "ada@mail.acme.com",
        "acme.com",
        "api.acme.com",
        "ada@acme.com, bob@globex.org; acme.com",
        ["ada@acme.com", " bob@globex.org "],
        ("ada+tag@acme.com",),
        ["o'neil@acme.com"],
    ],
)
def test_all_inside(values: object) -> None:
    assert all_domains(values, "acme.com", "Globex.org")


@pytest.mark.holds("policy:functions-total")
@pytest.mark.parametrize(
    "values",
    [
        [],
        "",
        " , ",
        "ada@acme.com,",
        "ada@evil.com",
        "ada@notacme.com",
        "ada@acme.com.evil.com",
        "ada@acme.com@evil.com",
        "ada@evil.com@acme.com",
        ["ada@acme.com", "eve@evil.com"],
        "ada@acme.com eve@evil.com",
        "ada@acme.com\neve@evil.com",
        "Ada <ada@acme.com>",
        '"eve@evil.com"@acme.com',
        "eve%evil.com@acme.com",
        "evil.com!eve@acme.com",
        "eve(@evil.com)@acme.com",
        "@acme.com",
        ".ada@acme.com",
        "ada.@acme.com",
        "a..b@acme.com",
        "ada@acme.com.",
        "ada@[127.0.0.1]",
        "ada@acme。com",
        "ada@аcme.com",
        "ada@-acme.com",
        "https://acme.com",
        "acme.com:25",
        "acme.com/x",
        "x" * 400 + "@acme.com",
        "a@acme.com," * 200_000,
        ["a@acme.com"] * 10_001,
    ],
)
def test_not_all_inside(values: object) -> None:
    assert not all_domains(values, "acme.com", "globex.org")


@pytest.mark.parametrize("values", [None, 1, {"a": 1}, [1], ["ada@acme.com", None], [["ada@acme.com"]]])
def test_other_types_fail(values: object) -> None:
    with pytest.raises(TypeError):
        all_domains(values, "acme.com")


@pytest.mark.parametrize("domain", ["", ".acme.com", "@acme.com", "*.acme.com", "acme.com.", "acme com", "a" * 300])
def test_a_domain_is_a_plain_host_name(domain: str) -> None:
    with pytest.raises(ValueError, match="plain host name"):
        bind_all_domains(domain)


@given(st.text(alphabet="ae@.,; <>\"'%!com\n", max_size=30))
@settings(deadline=None, max_examples=300)
def test_what_is_accepted_ends_in_the_domain(text: str) -> None:
    if all_domains(text, "e.com"):
        parts = text.replace(";", ",").split(",")
        assert all(part.strip().rpartition("@")[2].endswith("e.com") for part in parts)
        assert text.count("@") <= len(parts)
