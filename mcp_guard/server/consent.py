"""The pages on which people connect their account at an upstream. They are for browsers: nobody signs in here.

    GET  /oauth/connect/TICKET   whose account is asked for, for whom, and where one would be sent; nothing happens yet
    POST /oauth/connect/TICKET   the link is used up and the browser sent to the issuer
    GET  /oauth/callback         where the issuer sends it back; answered with constant text
    GET  /oauth/client.json      what issuers may know of the guard (its client id metadata document)

What is not asked for by the very page it stands on is refused: the Host has to be ours (rebinding), a POST has to come
from our page in the browser that was shown it (a cookie, a field made from it, Origin), and so has the callback. No
page holds a script, can be framed, or repeats anything of a request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.types import Receive, Scope, Send

from mcp_guard.admin.consenting import CALLBACK_PATH, CLIENT_PATH, CONNECT_PATH, Consenting, Shown, client_document
from mcp_guard.identity.oauth import flow
from mcp_guard.identity.oauth.connection import Connection
from mcp_guard.identity.oauth.flow import Unanswered
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.web import origin_of
from mcp_guard.model.errors import GuardError
from mcp_guard.server.asgi import read_body, respond

PREFIX: Final = "/oauth/"
DONE: Final = b"Your account is connected. You can close this page and ask your agent to go on.\n"
NOT_DONE: Final = (
    b"Nothing was connected. The link may have been used or be too old, or it was opened in another browser.\n"
    b"Ask your agent for a new one, and open it yourself.\n"
)
NOT_NOW: Final = b"Nothing was connected, because the service could not be asked. Try it again later.\n"

_TEXT: Final = b"text/plain; charset=utf-8"
_HTML: Final = b"text/html; charset=utf-8"
_MOST_FORM: Final = 4096
_AGE: Final = 3600
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_SEALED: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class ConsentPages:
    """The application. `on_fault` is told why something was refused; the browser never is. `on_done` is called once an
    account is connected."""

    consenting: Consenting
    name: str
    on_fault: Callable[[str], None]
    on_done: Callable[[Connection], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method, base = scope["path"], scope["method"], self.consenting.base
        headers = _once(scope["headers"])
        if base is None or headers.get("host") != urlsplit(base).netloc:
            return await self._refuse(send, "host")
        browser = self._browser(headers)
        try:
            if path == CALLBACK_PATH and method == "GET":
                self.on_done(await self.consenting.finish(scope["query_string"], browser or ""))
                return await _say(send, 200, DONE)
            if path == CLIENT_PATH and method == "GET":
                document = dumps(client_document(self.name, base))
                return await respond(send, 200, document, (b"cache-control", b"no-cache"))
            if path.startswith(CONNECT_PATH) and method == "GET":
                return await self._show(send, path.removeprefix(CONNECT_PATH), browser)
            if path.startswith(CONNECT_PATH) and method == "POST":
                return await self._begin(receive, send, path.removeprefix(CONNECT_PATH), headers, browser)
        except Unanswered as error:
            return await self._refuse(send, str(error))
        except GuardError:
            self.on_fault("consent_unavailable")
            return await _say(send, 503, NOT_NOW)
        return await respond(send, 404, b'{"error":"not found"}')

    async def _show(self, send: Send, ticket: str, browser: str | None) -> None:
        shown = await self.consenting.shown(ticket)
        made = browser or flow.new_secret()
        cookie = f"{self._cookie}={made}; Path=/; Max-Age={_AGE}; HttpOnly; SameSite=Lax{'; Secure' * self._is_secure}"
        # A browser may hold what a form leads to against `form-action` too, redirects included.
        leads_to = origin_of(shown.endpoints.authorization)
        policy = f"default-src 'none'; base-uri 'none'; form-action 'self' {leads_to}; frame-ancestors 'none'"
        body = _page(self.name, shown, _check(made, ticket)).encode()
        headers = (
            (b"content-security-policy", policy.encode("ascii")),
            (b"referrer-policy", b"same-origin"),  # without one a browser would not say where its POST comes from
            (b"set-cookie", cookie.encode("ascii")),
        )
        await respond(send, 200, body, *_HEADERS, *headers, kind=_HTML)

    async def _begin(
        self, receive: Receive, send: Send, ticket: str, headers: Mapping[str, str], browser: str | None
    ) -> None:
        body = await read_body(receive, _MOST_FORM)
        base = self.consenting.base
        if browser is None or body is None or len(body) > _MOST_FORM or headers.get("origin") != base:
            raise Unanswered("page")
        try:
            (said,) = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4).get("check", [""])
        except ValueError:
            raise Unanswered("page") from None
        if not flow.same(said, _check(browser, ticket)):
            raise Unanswered("page")
        address = await self.consenting.begin(ticket, browser)
        sealed = ((b"content-security-policy", _SEALED), (b"referrer-policy", b"no-referrer"))
        await respond(send, 303, b"", *_HEADERS, *sealed, (b"location", address.encode("ascii")), kind=_TEXT)

    async def _refuse(self, send: Send, why: str) -> None:
        self.on_fault(f"consent_{why}")
        await _say(send, 400, NOT_DONE)

    @property
    def _is_secure(self) -> bool:
        return (self.consenting.base or "").startswith("https://")

    @property
    def _cookie(self) -> str:
        return "__Host-mcpg_consent" if self._is_secure else "mcpg_consent"

    def _browser(self, headers: Mapping[str, str]) -> str | None:
        """What a browser was given with the page it was shown."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return None
        return found.value if found is not None and flow.is_secret(found.value) else None


def _check(browser: str, ticket: str) -> str:
    """What the form of a page says: nobody without the cookie can make it."""
    return flow.hashed(f"{browser}\n{ticket}")


def _once(headers: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Headers by name; one that stands more than once says nothing."""
    found: dict[str, str] = {}
    twice = set()
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name in found:
            twice.add(name)
        found[name] = value.decode("latin-1")
    return {name: value for name, value in found.items() if name not in twice}


async def _say(send: Send, status: int, text: bytes) -> None:
    headers = (*_HEADERS, (b"content-security-policy", _SEALED), (b"referrer-policy", b"no-referrer"))
    await respond(send, status, text, *headers, kind=_TEXT)


def _page(name: str, shown: Shown, check: str) -> str:
    scopes = ", ".join(shown.scopes) or "what the service gives by default"
    subject, leads_to = escape(shown.subject), escape(origin_of(shown.endpoints.authorization))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Connect an account</title></head><body>
<h1>Connect an account</h1>
<p>The tools of <b>{escape(name)}</b> would use <b>your account at {escape(shown.upstream)}</b> \
({escape(shown.resource)}) for calls of</p>
<p><b>{subject}</b> in {escape(shown.tenant)}, asked through {escape(shown.client)}.</p>
<p>Scopes: {escape(scopes)}</p>
<p>Go on only if that is you, and you asked for it just now. If somebody sent you this link, close this page: \
going on would give them your account.</p>
<form method="post"><input type="hidden" name="check" value="{check}">
<button type="submit">I am {subject}: go on to {leads_to}</button></form>
</body></html>
"""
