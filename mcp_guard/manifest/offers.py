"""What of another server's resources, templates and prompts a manifest lets in, as it is written."""

from typing import Annotated

from pydantic import Field

from mcp_guard.manifest.fields import Duration, Matching, Scope, Strict, Tag, ToolName, Word
from mcp_guard.manifest.limits import CostRule, ToolLimits
from mcp_guard.model.tool import Effects, Mode

OfferGlob = Annotated[
    str,
    Matching(
        r"^[!-~]{1,1024}$", "a name, URI or template of the server's, without spaces; * stands for any characters"
    ),
]
Key = Annotated[str, Field(min_length=1, max_length=2048)]


class OfferOverride(Strict):
    """What a resource, template or prompt of another server is here. What is not said is what the server said when it
    was locked."""

    name: ToolName | None = Field(default=None, description="What it is called behind NAME_, instead of its own name.")
    title: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    description: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    tags: list[Tag] = Field(default=[])
    labels: Annotated[list[Word], Field(max_length=16)] = Field(default=[])
    effects: Effects | None = None
    scopes: list[Scope] = Field(default=[])
    sensitive: list[str] = Field(default=[])
    timeout: Duration | None = None
    mode: Mode | None = None
    cost: CostRule | None = None
    limits: ToolLimits | None = None


class Offers(Strict):
    """Which of them may be let in, by the server's own names, URIs or templates. Nothing is that `allow` does not
    name."""

    allow: Annotated[list[OfferGlob], Field(min_length=1)]
    deny: list[OfferGlob] = Field(default=[])
    overrides: dict[Key, OfferOverride] = Field(default={})
