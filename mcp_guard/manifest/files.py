"""Files that requests of a manifest send, as they are written."""

from typing import Annotated

from pydantic import Field

from mcp_guard.manifest.fields import Matching, Size, Strict, between

MediaType = Annotated[
    str,
    Matching(
        r"^[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}(; ?[a-z-]{1,32}=[A-Za-z0-9_.-]{1,64}){0,4}$",
        "a media type such as text/csv or text/plain; charset=utf-8, in lower case",
    ),
]
FileName = Annotated[str, Field(min_length=1, max_length=1024)]


class Upload(Strict):
    """A file that is sent. What leads out of `within`, links included, is refused."""

    path: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Below `within`: `{name}`.")
    within: FileName = Field(description="The only directory it may be in, from the home or absolute.")
    content_type: MediaType = Field(default="application/octet-stream", description="What the file is.")
    max_size: Annotated[Size, between("1B", "1GiB")] = "16MiB"


class Uploading(Strict):
    """The only directory of files that may be sent."""

    within: FileName
    max_size: Annotated[Size, between("1B", "1GiB")] = "16MiB"
