"""Settings of the accounts that people have at upstreams: where they connect them."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from mcp_guard.kit import units
from mcp_guard.kit.web import is_protected
from mcp_guard.manifest.fields import Duration, Strict


def _origin(text: str) -> str:
    if not is_protected(text) or urlsplit(text).path or "?" in text:
        expected = "https://HOST, or http on loopback, without a path"
        raise PydanticCustomError("expected", "expected {expected}", {"expected": expected})
    return text


def _short(text: str) -> str:
    if not 60 <= units.seconds(text) <= 3600:
        raise PydanticCustomError("expected", "expected {expected}", {"expected": "a duration from 1m to 1h"})
    return text


class Connections(Strict):
    """Accounts of people at upstreams (`auth: oauth`)."""

    url: Annotated[str, Field(max_length=512), AfterValidator(_origin)] | None = Field(
        default=None,
        description="Where browsers reach `serve --http`; else the origin of identity.oidc.audience, or loopback.",
    )
    link: Annotated[Duration, AfterValidator(_short)] = Field(
        default="10m", description="How long a link to connect an account is good."
    )
