"""Which credential an operation wants, and where in a request it stands."""

from collections.abc import Mapping

from mcp_guard.kit.text import visible
from mcp_guard.manifest.openapi.document import Api, Unusable

_AUTHORIZATION = "Authorization"
_HTTP = {"bearer": "Bearer ", "basic": "Basic "}


def alternatives(api: Api, operation: Mapping[str, object]) -> list[object]:
    """Each alternative maps names of schemes to `{header, prefix}`, or to `{refused}` where a scheme cannot be used;
    an empty one means that nothing is needed. Raises `Unusable`."""
    written = operation.get("security", api.root.get("security", []))
    if not isinstance(written, list):
        raise Unusable("its security is no list")
    components = api.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    known = schemes if isinstance(schemes, Mapping) else {}
    return [{str(name): _way(api, known.get(name)) for name in one} for one in written if isinstance(one, Mapping)]


def _way(api: Api, node: object) -> dict[str, str]:
    if node is None:
        return {"refused": "the document does not describe it"}
    scheme = api.resolved(node)
    kind, name = scheme.get("type"), scheme.get("name")
    if kind in ("oauth2", "openIdConnect"):
        return {"header": _AUTHORIZATION, "prefix": _HTTP["bearer"]}
    if kind == "http":
        prefix = _HTTP.get(str(scheme.get("scheme")).lower())
        return {"header": _AUTHORIZATION, "prefix": prefix} if prefix else {"refused": "its scheme is not supported"}
    if kind == "apiKey" and scheme.get("in") == "header" and isinstance(name, str):
        return {"header": name, "prefix": ""}
    if kind == "apiKey":
        where = visible(str(scheme.get("in")))[:16]
        return {"refused": f"the key would stand in the {where}, where it is not kept secret"}
    return {"refused": "its type is not supported"}
