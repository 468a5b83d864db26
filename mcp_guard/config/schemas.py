"""The files of `schemas/`: what editors check a home's files against."""


def schemas() -> dict[str, str]:
    """File name to text, written from the models; `mcp-guard config schema --write DIR` puts them down."""
    from mcp_guard.config.settings import settings_schema
    from mcp_guard.manifest.schema import manifest_schema, rendered

    return {"config.json": rendered(settings_schema()), "tools.json": rendered(manifest_schema())}
