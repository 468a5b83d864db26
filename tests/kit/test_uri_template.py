"""Templates of URIs: one that takes a URI apart makes it again, and no value leads anywhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.kit.uri_template import TemplateError, UriTemplate, is_uri


@pytest.mark.holds("upstream:templates")
@pytest.mark.parametrize(
    "text",
    [
        "{path}",
        "{scheme}://x/{a}",
        "docs://plain",
        "docs://{a}{b}",
        "docs://{a}-{b}",
        "docs://{a}.{b}",
        "docs://{a}%2F{b}",
        "docs://{a}/{a}",
        "docs://{+a}/b",
        "docs://n?path={+a}",
        "docs://n?{a}/{+b}",
        "docs://{+a}/{b}",
        "docs://{?q}",
        "docs://x{/a}",
        "docs://{a,b}",
        "docs://{a*}",
        "docs://{a:3}",
        "docs://{}",
        "docs://{a",
        "docs://a}",
        "docs:// {a}",
        "docs://\u202e{a}",
        "docs://{a\u200b}",
        "docs://\n{a}",
        "//{a}",
        "docs://" + "/".join(f"{{v{n}}}" for n in range(17)),
    ],
)
def test_a_template_that_could_mean_two_things_is_none(text: str) -> None:
    with pytest.raises(TemplateError):
        UriTemplate(text)


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("docs://n/{name}", "docs://n/a", {"name": "a"}),
        ("docs://n/{name}", "docs://n/a%20b", {"name": "a b"}),
        ("docs://n/{name}", "docs://n/%C3%A9", {"name": "é"}),
        ("docs://n/{name}.md", "docs://n/a.b.md", {"name": "a.b"}),
        ("docs://{a}/x/{b}", "docs://1/x/2", {"a": "1", "b": "2"}),
        ("file://{+path}", "file:///srv/a/b", {"path": "/srv/a/b"}),
        ("docs://n/{name}", "docs://n/", None),
        ("docs://n/{name}", "docs://n/a/b", None),
        ("docs://n/{name}", "docs://n/a%2Fb", None),
        ("docs://n/{name}", "docs://n/..", None),
        ("docs://n/{name}", "docs://n/%2e%2E", None),
        ("docs://n/{name}", "docs://n/%252e%252e", None),
        ("docs://n/{name}", "docs://n/..%5cx", None),
        ("docs://n/{name}", "docs://n/a%00", None),
        ("docs://n/{name}", "docs://n/a%0a", None),
        ("docs://n/{name}", "docs://n/%ff", None),
        ("docs://n/{name}", "docs://n/a?b", None),
        ("docs://n/{name}", "docs://n/a#b", None),
        ("docs://n/{name}", "docs://n/a%", None),
        ("docs://n/{name}", "docs://n/a\n", None),
        ("docs://n/{name}", "DOCS://n/a", None),
        ("docs://n/{name}", "docs://n/" + "a" * 2048, None),
        ("file://{+path}", "file:///srv/../etc", None),
        ("file://{+path}", "file:///srv/%2e%2e/etc", None),
        ("file://{+path}", "file:///srv//etc", None),
        ("file://{+path}", "file:////etc", None),
        ("docs://n/{+path}", "docs://n//a", None),
        ("docs://n/{+path}", "docs://n/%2Fa", None),
        ("docs://n{+path}", "docs://n/a", {"path": "/a"}),
        ("file:///{+path}", "file:////etc", None),
        ("docs://{a}/{+b}", "docs://x//y", None),
        ("docs://n/.{+path}", "docs://n/./a", None),
        ("docs://n/.{+path}", "docs://n/.git/a", {"path": "git/a"}),
        ("docs://n/%2e{+path}", "docs://n/%2e/a", None),
        ("docs://n/..{+path}", "docs://n/../a", None),
        ("file://{+path}", "file:///srv/a?x", None),
    ],
)
def test_what_a_uri_was_made_of(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert UriTemplate(template).values(uri) == values


@given(a=st.text(min_size=1, max_size=20), b=st.text(min_size=1, max_size=20))
def test_what_is_made_is_taken_apart_again(a: str, b: str) -> None:
    template = UriTemplate("docs://{a}/of/{+b}")
    try:
        uri = template.uri({"a": a, "b": b})
    except ValueError:
        return
    assert uri.isascii()
    assert is_uri(uri)
    assert template.values(uri) == {"a": a, "b": b}
    assert uri.count("/of/") >= 1
    assert not {"", ".", ".."} & set(uri.removeprefix("docs://").split("/")[:2])


@given(st.text(alphabet="abc/.%25eEfF?#\\", max_size=30))
def test_whatever_is_understood_is_what_is_sent(tail: str) -> None:
    """However a client escapes it: taken apart and made anew, a URI means the same."""
    template = UriTemplate("docs://n/{name}")
    values = template.values(f"docs://n/{tail}")
    if values is not None:
        assert template.values(template.uri(values)) == values
        assert template.uri(values).count("/") == 3


@pytest.mark.holds("upstream:templates")
@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a\\b", "a\x00", "a\n", "%2e%2e", 3, None])
def test_a_value_that_leads_elsewhere_is_not_placed(value: object) -> None:
    with pytest.raises(ValueError, match="name cannot be placed"):
        UriTemplate("docs://n/{name}").uri({"name": value})


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("docs://a", True),
        ("urn:a:b", True),
        ("a+b.c-d:x", True),
        ("docs", False),
        ("://a", False),
        ("1a:x", False),
        ("docs:", False),
        ("docs://a b", False),
        ("docs://\u202e", False),
        ("docs://" + "a" * 2048, False),
    ],
)
def test_what_a_uri_is(text: str, right: bool) -> None:
    assert is_uri(text) is right
