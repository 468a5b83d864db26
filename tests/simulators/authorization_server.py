"""An OAuth authorization server on loopback that keeps its promises: codes count once and only with PKCE, redirect and
client as they were, refresh tokens rotate, and one that comes twice ends the grant.

Whoever comes to its authorization endpoint agrees at once. What a test wants to be wrong it changes: `metadata`,
`answered` (what the browser brings back), `down`.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.simulators.upstream import Behaviour, Seen, UpstreamSimulator, Wire, answer, redirect, text

OAUTH = "/.well-known/oauth-authorization-server"
JsonObject = dict[str, Any]


@dataclass
class AuthorizationServer:
    """`granted` are the access tokens that count, by the resource they are for. `expires_in` is said of each."""

    expires_in: int | None = 3600
    down: bool = False
    refreshes: bool = True
    changes: JsonObject = field(default_factory=dict)
    answered: dict[str, str | None] = field(default_factory=dict)
    granted: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    http: UpstreamSimulator = field(init=False)

    def __post_init__(self) -> None:
        self.http = UpstreamSimulator(self._behave)
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh: dict[str, str] = {}
        self._used: set[str] = set()
        self._numbers = count(1)

    def __enter__(self) -> "AuthorizationServer":
        self.http.__enter__()
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.http.__exit__(*error)

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.http.port}"

    def metadata(self) -> JsonObject:
        usual: JsonObject = {
            "issuer": self.name,
            "authorization_endpoint": f"{self.name}/authorize",
            "token_endpoint": f"{self.name}/token",
            "revocation_endpoint": f"{self.name}/revoke",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        }
        for name, value in self.changes.items():
            usual.pop(name, None)
            usual |= {} if value is None else {name: value}
        return usual

    def accepts(self, seen: Seen) -> bool:
        """Whether a request to a resource carries a token that counts."""
        scheme, _, token = (seen.header("authorization") or "").partition(" ")
        return scheme == "Bearer" and token in self.granted

    def end_everything(self) -> None:
        """Every grant is over."""
        self.granted.clear()
        self._refresh.clear()

    def _behave(self, seen: Seen, wire: Wire) -> None:
        (text("", status=503) if self.down else self._reply(seen))(seen, wire)

    def _reply(self, seen: Seen) -> Behaviour:
        match seen.method, urlsplit(seen.target).path:
            case "GET", path if path == OAUTH:
                return answer(self.metadata())
            case "GET", "/authorize":
                return self._authorize(dict(parse_qsl(urlsplit(seen.target).query)))
            case "POST", "/token":
                return self._token(self._form(seen))
            case "POST", "/revoke":
                token = self._form(seen)["token"]
                self.revoked.append(token)
                self._refresh.pop(token, None)
                self.granted.pop(token, None)
                return text("")
        return text("", status=404)

    def _form(self, seen: Seen) -> dict[str, str]:
        form = {name: values[0] for name, values in parse_qs(seen.body.decode(), strict_parsing=True).items()}
        self.forms.append(form | {"authorization": seen.header("authorization") or ""})
        return form

    def _authorize(self, asked: dict[str, str]) -> Behaviour:
        self.asked.append(asked)
        code = f"code-{next(self._numbers)}"
        self._codes[code] = asked
        back: dict[str, str | None] = {"code": code, "state": asked["state"], "iss": self.name}
        back |= self.answered
        query = urlencode({name: value for name, value in back.items() if value is not None})
        return redirect(f"{asked['redirect_uri']}?{query}")

    def _token(self, form: dict[str, str]) -> Behaviour:
        if form["grant_type"] == "refresh_token":
            return self._refreshed(form["refresh_token"])
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or challenge.decode() != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or form.get("client_id", asked["client_id"]) != asked["client_id"]
            or form["resource"] != asked["resource"]
        ):
            return answer({"error": "invalid_grant", "error_description": "s3cret words"}, status=400)
        return self._issue(asked["resource"])

    def _refreshed(self, token: str) -> Behaviour:
        resource = self._refresh.pop(token, None)
        if resource is None:
            if token in self._used:  # stolen, or used twice: the grant is over (OAuth 2.1 section 4.3.1)
                self.end_everything()
            return answer({"error": "invalid_grant"}, status=400)
        self._used.add(token)
        return self._issue(resource)

    def _issue(self, resource: str) -> Behaviour:
        return text(json.dumps(self.grant(resource)), kind="application/json")

    def grant(self, resource: str) -> JsonObject:
        """What the token endpoint gives somebody who agreed."""
        number = next(self._numbers)
        access = f"access-token-{number}-for-a-person"
        self.granted[access] = resource
        issued: JsonObject = {"access_token": access, "token_type": "Bearer"}
        if self.expires_in is not None:
            issued["expires_in"] = self.expires_in
        if self.refreshes:
            issued["refresh_token"] = f"refresh-token-{number}-for-a-person"
            self._refresh[issued["refresh_token"]] = resource
        return issued
