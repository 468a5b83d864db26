"""Which tools ask for a credential that is made out for the call (`${token:…}`)."""

from mcp_guard.kit import references
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.tool import Tool, secret_texts


def token_kinds(tool: Tool) -> frozenset[str]:
    """The kinds of credential the headers of a tool ask for: `call`, `exchange`."""
    parts = (part for text in secret_texts(tool.connector) for part in references.parse(text))
    return frozenset(part.name for part in parts if isinstance(part, references.Reference) and part.kind == "token")


def tools_asking(catalog: Catalog, kind: str | None = None) -> list[str]:
    """The names of the tools that ask for a kind of credential, or for any."""
    found = ((name, token_kinds(entry.tool)) for name, entry in catalog.items())
    return [name for name, kinds in found if (kind in kinds if kind else kinds)]
