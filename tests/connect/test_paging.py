"""Further pages: what an upstream says of them can choose a parameter or a path on its origin, and nothing else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.message import Request, Response
from mcp_guard.connect.paging import following
from mcp_guard.model.tool import HttpSpec, Pages
from tests.connect.tools import http, invocation, tool
from tests.simulators.upstream import Behaviour, Seen, UpstreamSimulator, Wire, after, answer, silent, text

CURSOR = Pages("/meta/next", "cursor", "/data", 10)
ADDRESS = Pages("/meta/next", "", "/data", 10)
LINK = Pages("link", "", "", 10)
REQUEST = Request("GET", "https://api.example", "/v1/things?tag=a&cursor=0&x_cursor=1")


def next_of(pages: Pages, said: object = None, *, link: str = "", request: Request = REQUEST) -> str | None:
    return following(request, pages, Response(200, {"link": link}, b""), {"meta": {"next": said}})


def page(items: object, following: object = None, **headers: str) -> Behaviour:
    return answer({"data": items, "meta": {"next": following}}, headers=headers)


async def gather(means: Means, spec: HttpSpec, *, seconds: float = 5) -> object:
    return (await connect(tool(spec, effects="none"), means).invoke(invocation(timeout=seconds))).value


async def failure(means: Means, spec: HttpSpec, *, seconds: float = 5) -> Failed:
    with pytest.raises(Failed) as failed:
        await gather(means, spec, seconds=seconds)
    return failed.value


# --- what leads to the next page


@pytest.mark.parametrize(
    ("said", "sent"), [("abc", "abc"), (17, "17"), ("a&b=c#/..", "a%26b%3Dc%23%2F.."), ("é", "%C3%A9")]
)
def test_a_cursor_takes_the_place_of_the_one_before(said: object, sent: str) -> None:
    assert next_of(CURSOR, said) == f"/v1/things?tag=a&x_cursor=1&cursor={sent}"


@pytest.mark.parametrize("said", [None, "", False, 0, [], {}])
def test_no_cursor_is_the_end(said: object) -> None:
    assert next_of(CURSOR, said) is None
    assert next_of(ADDRESS, said) is None


@pytest.mark.holds("http:pages-stay")
@pytest.mark.parametrize("said", [True, 1.5, ["a"], {"a": 1}, "x" * 5000, "\ud800"])
def test_what_is_no_cursor_ends_the_call(said: object) -> None:
    with pytest.raises(Failed) as failed:
        next_of(CURSOR, said)
    assert failed.value.code == "upstream_bad_response"


@pytest.mark.holds("http:pages-stay")
@given(st.text(max_size=40))
@settings(deadline=None, max_examples=300)
def test_a_cursor_is_one_parameter_whatever_it_holds(said: str) -> None:
    try:
        target = next_of(CURSOR, said)
    except Failed:
        return
    if target is not None:
        path, _, query = target.partition("?")
        assert path == "/v1/things"
        assert [part.partition("=")[0] for part in query.split("&")] == ["tag", "x_cursor", "cursor"]
        assert target.isascii()
        assert not set("\r\n #") & set(target)


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("https://api.example/v1/things?page=2", "/v1/things?page=2"),
        ("https://API.example:443/v2#top", "/v2"),
        ("https://api.example", "/"),
        ("/other?x=1", "/other?x=1"),
        ("?page=2", "/v1/things?page=2"),
        ("more", "/v1/more"),
    ],
)
def test_an_address_on_the_same_origin_is_followed(said: str, target: str) -> None:
    assert next_of(ADDRESS, said) == target
    assert next_of(LINK, link=f'<https://api.example/p>; rel="prev", <{said}>; rel="next"') == target


HOSTILE = [
    "https://evil.example/v1/things",
    "//evil.example/v1",
    "/\\evil.example/",
    "\\\\evil.example\\x",
    "http://api.example/v1",
    "https://api.example:8443/v1",
    "https://api.example.evil.example/",
    "https://api.example@evil.example/",
    "https://user@api.example/",
    "https://api.example:x/",
    "https://[::1/",
    "https://2130706433/",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "/a b",
    "/a\r\nX-Evil: 1",
    "/a\tb",
    "/ä",
    "\u2028",
    "/" + "x" * 5000,
]


@pytest.mark.holds("http:pages-stay")
@pytest.mark.parametrize("said", [*HOSTILE, True, 7, ["/a"], {"href": "/a"}])
def test_an_address_anywhere_else_is_not_followed(said: object) -> None:
    with pytest.raises(Failed) as failed:
        next_of(ADDRESS, said)
    assert failed.value.code == "upstream_bad_response"
    assert "evil" not in failed.value.reason


@pytest.mark.parametrize(
    "link",
    [
        "",
        '<https://api.example/p>; rel="last"',
        '<https://api.example/p>; title="a, <b>; rel=next"',
        "<https://api.example/p>; rel=prev; rel=next",
        "https://api.example/p; rel=next",
        "<https://api.example/p; rel=next",
        '<https://api.example/p>; rel="next',
        ", <https://api.example/p>; rel=next",
        '<https://api.example/p>; x="\\',
    ],
)
def test_a_link_that_does_not_say_next_is_the_end(link: str) -> None:
    assert next_of(LINK, link=link) is None


@pytest.mark.parametrize(
    "link",
    [
        "</p2>;rel=next",
        '</p2> ; REL = "prev Next"',
        '</p1>; rel="prev"; title="x, \\"y", </p2>; foo; bar=1; rel=next; rel=last',
        "</a,b>; rel=prev,</p2>; rel=next",
    ],
)
def test_a_link_is_read_as_it_is_written(link: str) -> None:
    assert next_of(LINK, link=link) == "/p2"


@pytest.mark.holds("http:pages-bounded")
@pytest.mark.parametrize("more", [";a=" + " " * 10**6 + "x", "; a" * 10**6 + "<", " " * 10**6, ';a="' + "\\a" * 10**6])
def test_a_long_link_takes_one_look_at_each_character(more: str) -> None:
    """Trying every way to share out the spaces of this megabyte would take hours."""
    assert next_of(LINK, link="<a>" + more) is None


# --- over the wire


async def test_pages_are_gathered_by_cursor(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(page([1, 2], "b"), page([3], "c"), page([4]))
    spec = http(upstream.url("/things"), query={"limit": "2"}, headers={"X-A": "b"}, pages=CURSOR)
    assert await gather(means, spec) == {"items": [1, 2, 3, 4], "truncated": False}
    assert [seen.target for seen in upstream.requests] == [
        "/things?limit=2",
        "/things?limit=2&cursor=b",
        "/things?limit=2&cursor=c",
    ]
    assert [seen.header("x-a") for seen in upstream.requests] == ["b"] * 3


async def test_pages_are_gathered_by_link(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(
        answer([1], headers={"Link": f'<{upstream.url("/things?page=2")}>; rel="next"'}), answer([2])
    )
    assert await gather(means, http(upstream.url("/things"), pages=LINK)) == {"items": [1, 2], "truncated": False}
    assert upstream.last.target == "/things?page=2"


async def test_what_was_gathered_is_selected_from(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = page([1, 2])
    assert await gather(means, http(upstream.url(), pages=CURSOR, select="/items")) == [1, 2]


async def test_a_page_without_items_is_an_empty_one(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(answer({"meta": {"next": "b"}}), page(None))
    assert await gather(means, http(upstream.url(), pages=CURSOR)) == {"items": [], "truncated": False}


@pytest.mark.holds("http:pages-stay")
@pytest.mark.parametrize("said", HOSTILE)
async def test_no_page_is_asked_for_elsewhere(means: Means, upstream: UpstreamSimulator, said: str) -> None:
    with UpstreamSimulator() as elsewhere:
        upstream.behaviour = page([1], said.replace("evil.example", f"127.0.0.1:{elsewhere.port}"))
        assert (await failure(means, http(upstream.url(), pages=ADDRESS))).code == "upstream_bad_response"
        assert (upstream.hits, elsewhere.connections) == (1, 0)


@pytest.mark.holds("http:pages-bounded")
async def test_pages_without_end_are_cut_at_most(means: Means, upstream: UpstreamSimulator) -> None:
    def endless(seen: Seen, wire: Wire) -> None:
        page([upstream.hits], f"c{upstream.hits}")(seen, wire)

    upstream.behaviour = endless
    spec = http(upstream.url(), pages=Pages("/meta/next", "cursor", "/data", 3))
    assert await gather(means, spec) == {"items": [1, 2, 3], "truncated": True}
    assert upstream.hits == 3


@pytest.mark.holds("http:pages-bounded")
async def test_pages_that_lead_to_themselves_end_the_call(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = page([1], "same")
    failed = await failure(means, http(upstream.url(), pages=CURSOR))
    assert (failed.code, upstream.hits) == ("upstream_bad_response", 2)


@pytest.mark.holds("http:pages-bounded")
async def test_pages_together_keep_to_the_size_of_one_answer(means: Means, upstream: UpstreamSimulator) -> None:
    size = len(json.dumps({"data": ["x" * 400], "meta": {"next": "b"}}))
    for allowed in (size, size + 10, 2 * size - 1):
        upstream.behaviour = after(page(["x" * 400], "b"), page(["x" * 400], "c"), page([]))
        failed = await failure(means, http(upstream.url(), pages=CURSOR, max_bytes=allowed))
        assert (failed.code, failed.reason) == ("upstream_too_large", "the pages together are too large")


@pytest.mark.holds("http:pages-bounded")
async def test_pages_together_keep_to_the_time_of_one_call(means: Means, upstream: UpstreamSimulator) -> None:
    upstream.behaviour = after(page([1], "b"), silent)
    failed = await failure(means, http(upstream.url(), pages=CURSOR), seconds=0.5)
    assert (failed.code, failed.transient, upstream.hits) == ("upstream_timeout", "timeout", 2)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (page({"a": 1}), "upstream_bad_response"),
        (page("items"), "upstream_bad_response"),
        (text("<html>", kind="text/html"), "upstream_bad_response"),
        (text("{}", status=404), "upstream_error"),
        (text("{}", status=302, headers={"Location": "/x"}), "upstream_error"),
    ],
)
async def test_a_later_page_that_fails_fails_the_call(
    means: Means, upstream: UpstreamSimulator, behaviour: Behaviour, code: str
) -> None:
    upstream.behaviour = after(page([1], "b"), behaviour)
    assert (await failure(means, http(upstream.url(), pages=CURSOR))).code == code
