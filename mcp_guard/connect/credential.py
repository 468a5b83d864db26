"""Credentials made out for one call (`${token:…}`), and the redaction that forgets them with it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mcp_guard.connect.failure import Failed
from mcp_guard.kit.references import Reference
from mcp_guard.model.call import CredentialKind, CredentialRequest, Invocation
from mcp_guard.secrets.redact import Redactor

Issue = Callable[[CredentialRequest], Awaitable[str]]
"""Makes a credential out. Raises `Refused`, with nothing executed."""


@dataclass(frozen=True, slots=True)
class CallCredentials:
    """What the headers of one tool ask for, and who makes it out. `audience` is the origin the request goes to."""

    kinds: tuple[CredentialKind, ...]
    tool: str
    scopes: frozenset[str]
    audience: str
    issue: Issue | None

    async def make_out(self, invocation: Invocation) -> "Issued":
        """The credentials of one attempt, within its time. Raises `Refused`; nothing was executed then."""
        if invocation.principal is None or self.issue is None:
            raise Failed("upstream_unavailable", "no credential can be made out here")
        values: dict[str, str] = {}
        limit = asyncio.timeout(invocation.timeout)
        try:
            async with limit:
                for kind in self.kinds:
                    values[kind] = await self.issue(self._request(kind, invocation))
        except TimeoutError:
            if not limit.expired():
                raise
            raise Failed("upstream_timeout", "no credential for the upstream was obtained in time") from None
        return Issued(values)

    def _request(self, kind: CredentialKind, invocation: Invocation) -> CredentialRequest:
        who = invocation.principal
        assert who is not None
        scopes = self.scopes & who.scopes  # fewer than the tool's only where policy is observed and not obeyed
        return CredentialRequest(kind, who, invocation.call, self.tool, scopes, self.audience)


class Issued:
    """Values by kind, and a redactor of their own: the common one never forgets, and these are new with every call."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._redactor = Redactor()
        for value in values.values():
            self._redactor.learn(value)

    def beside(self, kind: str, value: str) -> "Issued":
        """With one more."""
        return Issued({**self._values, kind: value})

    @property
    def longest(self) -> int:
        """Characters of the longest form of any of them."""
        return self._redactor.longest

    def text(self, text: str) -> str:
        """`text` without them."""
        return self._redactor.text(text) if self._values else text

    def value(self, value: object) -> object:
        """A JSON value without them."""
        return self._redactor.value(value) if self._values else value

    def resolver(self, others: Callable[[Reference], str]) -> Callable[[Reference], str]:
        """A resolver that knows these beside what `others` knows."""
        if not self._values:
            return others
        return lambda reference: self._values[reference.name] if reference.kind == "token" else others(reference)


NOTHING = Issued({})
