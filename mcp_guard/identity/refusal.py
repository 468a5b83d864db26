"""Why an access token was not believed. The caller is told nothing of it; the operator finds it in the log."""

from typing import Literal

from mcp_guard.model.errors import GuardError, Unauthenticated

Why = Literal[
    "form",  # not a compact JWS, too large, not strict JSON
    "algorithm",
    "type",
    "critical",
    "key",  # no such key, or more than one
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",
    "bound",  # sender-constrained: worthless as a plain bearer token
    "claims",  # missing, of another type, or no name of ours
    "tenant",
    "delegation",
]


class TokenRefused(Unauthenticated):
    """A valid identity is required."""

    default_hint = "the issuer, audience, lifetime and claims of an access token must be those this home expects"

    def __init__(self, why: Why) -> None:
        super().__init__()
        self.why: Why = why


class IssuerUnavailable(Unauthenticated):
    """The access token cannot be checked now: the keys of its issuer are not known here."""

    default_hint = (
        "check that this machine reaches the issuer; a private address is opted into with identity.oidc.networks"
    )


class IssuerFault(GuardError):
    """What the issuer publishes cannot be used."""

    code = "issuer"
    default_hint = "check identity.oidc.issuer (exact, to the last slash) and identity.oidc.jwks"
