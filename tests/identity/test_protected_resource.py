"""What OAuth clients are told (RFC 9728, RFC 6750, MCP 2026-07-28 basic/authorization)."""

import json

import pytest

from mcp_guard.identity.protected_resource import WELL_KNOWN, ProtectedResource

HERE = ProtectedResource("desk", "https://guard.example/mcp", "https://issuer.example", ("mcp:use",))


@pytest.mark.holds("identity:resource-metadata")
@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://guard.example/mcp", f"{WELL_KNOWN}/mcp"),
        ("https://guard.example/team/a/mcp", f"{WELL_KNOWN}/team/a/mcp"),
        ("https://guard.example:8443/mcp/", f"{WELL_KNOWN}/mcp"),
        ("https://guard.example", WELL_KNOWN),
        ("https://guard.example/", WELL_KNOWN),
    ],
)
def test_the_metadata_is_where_the_resource_says(resource: str, path: str) -> None:
    here = ProtectedResource("desk", resource, "https://issuer.example")
    assert set(here.documents()) == {path, WELL_KNOWN}
    assert here.unauthorized().endswith(f'resource_metadata="{here.origin}{path}"')
    assert json.loads(here.documents()[path]) == {
        "resource": resource,
        "authorization_servers": ["https://issuer.example"],
        "bearer_methods_supported": ["header"],
        "resource_name": "desk",
    }


@pytest.mark.holds("identity:resource-metadata")
def test_challenges_name_scopes_and_metadata() -> None:
    metadata = f'resource_metadata="https://guard.example{WELL_KNOWN}/mcp"'
    assert HERE.unauthorized() == f'Bearer error="invalid_token", scope="mcp:use", {metadata}'
    assert HERE.insufficient({"b", "a"}) == f'Bearer error="insufficient_scope", scope="a b", {metadata}'
    assert json.loads(HERE.documents()[WELL_KNOWN])["scopes_supported"] == ["mcp:use"]
