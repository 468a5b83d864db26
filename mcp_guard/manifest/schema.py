"""The JSON Schema of manifests (`schemas/tools.json`), for editors; written from the models, never by hand."""

from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> dict[str, Any]:
    """What `mcp_guard.manifest.load` accepts, as far as a schema can say it."""
    from mcp_guard.manifest.document import File

    schema = File.model_json_schema(by_alias=True)
    return {"$schema": DIALECT, **schema, "title": "mcp-guard tool manifest"}


def rendered(schema: dict[str, Any]) -> str:
    """The text of a schema file: stable, and readable in a diff."""
    import json

    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
