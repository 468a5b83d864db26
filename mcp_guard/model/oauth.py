"""Accounts of people at upstreams: what a manifest says of them, and how a call without one is answered."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.model.errors import Refused


@dataclass(frozen=True, slots=True)
class OAuthSpec:
    """How access tokens of a person are got for one upstream (OAuth 2.1, code flow with PKCE).

    `resource` is what tokens are asked for (RFC 8707); they are sent to its origin and nowhere else. Without `issuer`
    the upstream names its own (RFC 9728). `client_id` is how the issuer knows the guard; empty for the address of the
    guard's own client metadata. `client_secret` is a reference. `networks` are private networks (CIDR) the issuer may
    be on.
    """

    upstream: str
    resource: str
    issuer: str
    scopes: tuple[str, ...]
    client_id: str
    client_secret: str | None
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsentLink:
    """Where the person who was refused can connect their account, once and for a short while (`until`, unix µs)."""

    upstream: str
    url: str
    until: int

    def as_dict(self) -> dict[str, object]:
        return {"upstream": self.upstream, "url": self.url}


class NotConnected(Refused):
    """The caller has no account connected at the upstream; nothing was sent to it. `link` is where to connect one,
    where this process has pages for that."""

    def __init__(self, spec: OAuthSpec, link: ConsentLink | None, then: str = "") -> None:
        self.upstream = spec.upstream
        self.link = link
        self._spec = spec
        where = f"open {link.url}" if link else f"run `mcp-guard connections connect {spec.upstream}`"
        super().__init__(
            "connection_required",
            f"your account at {spec.upstream} is not connected; {then or f'the person you act for can {where}'}",
        )

    def kept(self) -> "NotConnected":
        """The same without the link, for what is kept: others may look at it, and whoever opens a link connects an
        account of theirs for the person it names."""
        return NotConnected(self._spec, None, "whoever calls one of its tools is told where to connect it")

    @property
    def connect(self) -> Mapping[str, object]:
        """What the refusal says beside its reason."""
        return self.link.as_dict() if self.link else {"upstream": self.upstream}
