"""The pages on which accounts are connected, attacked: other browsers, other people, other sites, other issuers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from mcp_guard.admin.tokens import Wish
from mcp_guard.audit.erasure import Wanted
from mcp_guard.build import Guard, open_connections, open_erasing, open_freezing, open_tokens
from mcp_guard.config.load import load
from mcp_guard.connect.documents import Documents
from mcp_guard.model.call import ToolCall
from mcp_guard.server.consent import DONE, NOT_DONE
from tests.accounts import Browser, Ledger, browser, check_of, link_of, make_home, note, serving, told
from tests.inside import records, who
from tests.simulators.authorization_server import AuthorizationServer
from tests.simulators.upstream import text


@dataclass
class World:
    home: Path
    guard: Guard
    base: str
    issuer: AuthorizationServer
    ledger: Ledger
    browser: Browser

    async def link(self, subject: str = "user:me") -> str:
        return link_of(await note(self.guard, subject))

    async def connected(self, subject: str = "user:me") -> bool:
        return not (await note(self.guard, subject)).is_error

    def faults(self) -> list[str]:
        return [str(record["state"]["code"]) for record in records(self.home, "fault")]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, AuthorizationServer, Ledger]]:
    with ExitStack() as stack:
        issuer = stack.enter_context(AuthorizationServer())
        ledger = Ledger(issuer)
        stack.enter_context(ledger.http)
        yield make_home(tmp_path_factory.mktemp("consent") / "home", issuer, ledger), issuer, ledger


@pytest.fixture
async def world(parts: tuple[Path, AuthorizationServer, Ledger], tmp_path: Path) -> AsyncIterator[World]:
    template, issuer, ledger = parts
    issuer.answered, issuer.changes = {}, {}
    home = copytree(template, tmp_path / "home")
    async with serving(home) as (guard, base), browser() as opened:
        yield World(home, guard, base, issuer, ledger, opened)


def _refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.content) == (400, NOT_DONE)


@pytest.mark.holds("oauth:flow")
async def test_a_refused_call_leads_to_a_connection_and_then_is_carried_out(world: World) -> None:
    before = world.ledger.http.hits
    refused = await note(world.guard)
    assert (told(refused)["code"], told(refused)["executed"]) == ("connection_required", "no")
    assert world.ledger.http.hits == before
    page = await world.browser.get(link_of(refused))
    assert "user:me" in page.text
    assert world.issuer.name in page.text
    done = await world.browser.connect(link_of(refused))
    assert (done.status_code, done.content) == (200, DONE)
    asked = world.issuer.asked[-1]
    assert (asked["resource"], asked["scope"], asked["code_challenge_method"]) == (
        world.ledger.resource,
        "notes",
        "S256",
    )
    answered = await note(world.guard)
    assert answered.structured == {"ok": True, "saw": "Bearer [redacted]"}
    (record,) = [one for one in records(world.home, "config") if one["state"]["what"] == "connected"]
    assert record["actor"]["sub"] == "user:me"
    assert set(record["state"]) == {"what", "id", "upstream", "issuer", "fp"}


@pytest.mark.holds("oauth:secret")
async def test_no_token_or_secret_of_the_flow_is_in_the_store_in_clear(world: World) -> None:
    link = await world.link()
    back = await world.browser.at_issuer(link)
    code = parse_qs(urlsplit(back).query)["code"][0]
    await world.browser.get(back)
    assert await world.connected()
    await world.guard.journal.read(world.guard.declare("user:me", None), {"what": "nothing"})
    files = b"".join(file.read_bytes() for file in world.home.glob("var/guard.db*"))
    token = next(reversed(world.issuer.granted))
    state = parse_qs(urlsplit(back).query)["state"][0]
    for secret in (token, token.replace("access", "refresh"), link.rpartition("/")[2], state, f'"{code}"'):
        assert secret.encode() not in files


@pytest.mark.holds("oauth:once")
async def test_a_link_counts_once_and_a_state_counts_once(world: World) -> None:
    link = await world.link()
    check = check_of(await world.browser.get(link))
    assert (await world.browser.post(link, check)).status_code == 303
    assert _refused(await world.browser.post(link, check))
    assert _refused(await world.browser.get(link))
    back = await world.browser.at_issuer(await world.link())
    assert (await world.browser.get(back)).status_code == 200
    assert _refused(await world.browser.get(back))


@pytest.mark.holds("oauth:looking")
async def test_a_program_that_looks_at_a_link_uses_nothing_up(world: World) -> None:
    link = await world.link()
    asked = len(world.issuer.asked)
    for _ in range(3):
        async with browser() as previewing:
            assert (await previewing.get(link)).status_code == 200
    assert len(world.issuer.asked) == asked
    assert (await world.browser.connect(link)).status_code == 200


@pytest.mark.holds("oauth:browser")
async def test_another_browser_cannot_finish_what_one_began(world: World) -> None:
    """The asker goes as far as the issuer's answer and has a victim open it, or the other way round."""
    back = await world.browser.at_issuer(await world.link("user:mallory"))
    async with browser() as victims:
        assert _refused(await victims.get(back))
    assert _refused(await world.browser.get(back)), "the state was used up"
    assert not await world.connected("user:mallory")
    assert "consent_browser" in world.faults()


@pytest.mark.holds("oauth:browser")
async def test_another_site_cannot_press_the_button(world: World) -> None:
    """Somebody's site sends a victim's browser to a link of its own: with and without having been shown the page."""
    link = await world.link("user:mallory")
    async with browser() as attackers, browser() as victims:
        check = check_of(await attackers.get(link))
        assert _refused(await victims.post(link, check)), "never shown the page"
        await victims.get(link)
        assert _refused(await victims.post(link, check)), "a field made for another browser"
        own = check_of(await victims.get(link))
        assert _refused(await victims.post(link, own, origin="https://evil.example"))
        assert _refused(await victims.post(link, own, origin="null"))
    assert not await world.connected("user:mallory")


@pytest.mark.holds("oauth:mix-up")
async def test_an_answer_of_another_issuer_an_error_or_no_code_connects_nothing(world: World) -> None:
    redeemed = len(world.issuer.forms)
    wrong = ({"iss": "https://evil.example"}, {"iss": None}, {"error": "access_denied"}, {"code": None}, {"code": "\n"})
    for answered in wrong:
        world.issuer.answered = dict(answered)
        assert _refused(await world.browser.connect(await world.link())), answered
    assert len(world.issuer.forms) == redeemed, "no code was sent anywhere"
    assert not await world.connected()


@pytest.mark.holds("oauth:mix-up")
async def test_a_code_of_another_flow_is_not_redeemed(world: World) -> None:
    """Code injection: somebody else's code under one's own state fails at the issuer, by PKCE."""
    async with browser() as attackers:
        stolen = parse_qs(urlsplit(await attackers.at_issuer(await world.link("user:mallory"))).query)["code"][0]
    world.issuer.answered = {"code": stolen}
    assert _refused(await world.browser.connect(await world.link()))
    assert not await world.connected()


STRANGE = (
    "",
    "state=x&code=y",
    "state=%3Cscript%3E&code=1",
    "error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%3Cb%3E",
    f"state={'A' * 43}&code=1&iss=x",
    f"state={'A' * 43}&state={'B' * 43}&code=1",
    "state=%ff&code=1",
    "x=" + "y" * 9000,
)


@pytest.mark.holds("oauth:constant")
async def test_whatever_comes_back_is_answered_with_the_same_words(world: World) -> None:
    for query in STRANGE:
        answer = await world.browser.get(f"{world.base}/oauth/callback?{query}")
        assert _refused(answer), query
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.holds("oauth:constant")
async def test_pages_cannot_be_framed_scripted_cached_or_carry_links_away(world: World) -> None:
    link = await world.link()
    page = await world.browser.get(link)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {world.issuer.name};" in policy
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    sent = await world.browser.agree(link)
    assert sent.headers["location"].startswith(f"{world.issuer.name}/authorize?")
    assert sent.headers["referrer-policy"] == "no-referrer"


@pytest.mark.holds("oauth:constant")
async def test_another_host_name_and_unknown_links_get_nothing(world: World) -> None:
    link = await world.link()
    foreign = await world.browser.client.get(link, headers={"host": "rebound.example"})
    assert _refused(foreign)
    for ticket in ("A" * 43, "%2e%2e", "<script>", "A" * 500):
        assert _refused(await world.browser.get(f"{world.base}/oauth/connect/{ticket}"))
    assert (await world.browser.get(f"{world.base}/oauth/else")).status_code == 404


@pytest.mark.holds("oauth:own")
async def test_a_connection_is_of_one_principal_and_serves_nobody_else(world: World) -> None:
    await world.browser.connect(await world.link("user:me"))
    assert await world.connected("user:me")
    assert not (await note(world.guard, "user:me", "agent:another")).is_error, "the account is the person's"
    before = world.ledger.http.hits
    assert told(await note(world.guard, "user:you"))["code"] == "connection_required"
    assert world.ledger.http.hits == before


@pytest.mark.holds("oauth:flow")
async def test_asking_again_and_again_gives_the_same_link(world: World) -> None:
    assert await world.link() == await world.link()
    assert await world.link() != await world.link("user:you")


@contextmanager
def _meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> Iterator[None]:
    """Have something happen while the issuer is asked for the tokens of a code."""
    post = Documents.post_form

    async def acting(self: Documents, url: str, form: dict[str, str], credential: str) -> tuple[int, bytes]:
        if form.get("grant_type") == "authorization_code":
            await act()
        return await post(self, url, form, credential)

    with monkeypatch.context() as patch:
        patch.setattr(Documents, "post_form", acting)
        yield


@pytest.mark.holds("oauth:stopped")
async def test_a_link_of_somebody_who_is_frozen_or_whose_token_is_revoked_connects_nothing(world: World) -> None:
    """Whoever stole a token has a link; once it is known, they would connect an account of their own for its owner."""
    home = load(world.home, environ={})
    async with open_tokens(home, world.guard.definition.directory) as tokens:
        text, record = await tokens.create(Wish("user:me", "agent:local", None, None, "8h"))
        thief = await world.guard.authenticate(text)
        answer = await world.guard.call(thief, ToolCall(world.guard.new_call_id(), "ledger_note", {}))
        back = await world.browser.at_issuer(await world.link("user:you"))
        async with open_freezing(home) as freezing:
            await freezing.freeze("user:you", "looked into")
        assert _refused(await world.browser.get(back)), "not even what was begun"
        await tokens.revoke(record.id)
    asked = len(world.issuer.asked)
    assert _refused(await world.browser.get(link_of(answer)))
    assert len(world.issuer.asked) == asked
    assert await world.link() != link_of(answer), "nobody else is given that link"
    assert (await world.browser.connect(await world.link())).status_code == 200


@pytest.mark.holds("oauth:stopped", "oauth:erase")
async def test_an_answer_under_way_does_not_outlive_an_erasure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    back = await world.browser.at_issuer(await world.link())

    async def erase() -> None:
        async with open_erasing(load(world.home, environ={})) as admin:
            await admin.erase(Wanted("subject", "user:me"), "ticket 812")

    with _meanwhile(monkeypatch, erase):
        assert _refused(await world.browser.get(back))
    assert await world.guard.connected.store.all("user:me") == []
    assert world.issuer.revoked[-1].startswith("refresh-token-"), "nobody will ever use it"


@pytest.mark.holds("oauth:stopped", "oauth:revoked")
async def test_an_answer_under_way_does_not_outlive_a_revocation(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.browser.connect(await world.link())
    spec = world.guard.consenting.spec("ledger")
    assert spec is not None
    links = [
        await world.guard.consenting.link(who(world.guard, "user:me", via), spec) for via in ("agent:a", "agent:b")
    ]
    begun, unused = [link.url for link in links if link is not None]
    back = await world.browser.at_issuer(begun)

    async def revoke() -> None:
        async with open_connections(load(world.home, environ={})) as connections:
            await connections.revoke("ledger", "user:me")

    with _meanwhile(monkeypatch, revoke):
        assert _refused(await world.browser.get(back))
    assert await world.guard.connected.store.all("user:me") == []
    assert _refused(await world.browser.get(unused)), "nor does a link"


@pytest.mark.holds("oauth:stopped")
async def test_an_answer_does_not_take_the_place_of_an_account_connected_meanwhile(world: World) -> None:
    """Whoever had a link first, and kept its answer, would have the person's calls go to another account."""
    unused = link_of(await note(world.guard, client="agent:another"))
    back = await world.browser.at_issuer(await world.link())
    async with browser() as theirs:
        assert (await theirs.connect(await world.link())).status_code == 200
    (there,) = await world.guard.connected.store.all("user:me")
    assert _refused(await world.browser.get(back))
    assert _refused(await world.browser.connect(unused))
    assert await world.guard.connected.store.all("user:me") == [there]


WRONG: tuple[dict[str, object], ...] = (
    {"issuer": "https://evil.example"},
    {"authorization_endpoint": "http://evil.example/authorize"},
    {"authorization_endpoint": "javascript:alert(1)"},
    {"token_endpoint": "http://evil.example/token"},
    {"token_endpoint": None},
    {"code_challenge_methods_supported": ["plain"]},
    {"code_challenge_methods_supported": None},
)


@pytest.mark.holds("oauth:issuer")
async def test_an_issuer_that_is_not_as_it_has_to_be_is_not_used(world: World) -> None:
    asked = len(world.issuer.asked)
    for changes in WRONG:
        world.issuer.changes = dict(changes)
        assert (await world.browser.get(await world.link())).status_code == 503, changes
    assert len(world.issuer.asked) == asked


@pytest.mark.holds("oauth:renewal")
async def test_a_token_the_upstream_refuses_is_renewed_once(world: World) -> None:
    await world.browser.connect(await world.link())
    world.issuer.granted.clear()
    before, redeemed = world.ledger.http.hits, len(world.issuer.forms)
    assert await world.connected()
    assert (world.ledger.http.hits, len(world.issuer.forms)) == (before + 2, redeemed + 1)
    world.ledger.http.behaviour = text("no", status=401)
    try:
        refused = told(await note(world.guard))
    finally:
        world.ledger.http.behaviour = world.ledger.behave
    assert (refused["code"], refused["executed"]) == ("upstream_error", "no")
    assert len(world.issuer.forms) == redeemed + 2


@pytest.mark.holds("oauth:ended")
async def test_a_grant_that_is_over_is_asked_for_anew(world: World) -> None:
    await world.browser.connect(await world.link())
    world.issuer.end_everything()
    refused = await note(world.guard)
    assert told(refused)["code"] == "connection_required"
    assert [one["state"]["what"] for one in records(world.home, "config")][-1] == "connection-ended"
    assert (await world.browser.connect(link_of(refused))).status_code == 200
    assert await world.connected()


@pytest.mark.holds("oauth:client")
async def test_issuers_can_read_who_the_guard_is(world: World) -> None:
    document = (await world.browser.get(f"{world.base}/oauth/client.json")).json()
    assert document["client_id"] == f"{world.base}/oauth/client.json"
    assert document["redirect_uris"] == [f"{world.base}/oauth/callback", "http://127.0.0.1/oauth/callback"]
    assert document["token_endpoint_auth_method"] == "none"
