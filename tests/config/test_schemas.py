"""The schemas editors use are those of the code, and they agree with what loads."""

from pathlib import Path

import jsonschema_rs
import pytest

from mcp_guard.config.schemas import schemas
from mcp_guard.kit import yaml
from mcp_guard.manifest.schema import manifest_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.holds("config:schemas-current")
@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_file_is_what_the_models_say(name: str) -> None:
    written = (ROOT / "schemas" / name).read_text(encoding="utf-8")
    assert written == schemas()[name], "run `make schemas`"


@pytest.mark.parametrize(
    "path", [ROOT / "mcp-guard.yaml", *sorted((ROOT / "tool_manifests").glob("*.yaml"))], ids=lambda path: path.name
)
def test_the_example_home_matches_its_schemas(path: Path) -> None:
    import json

    name = "config.json" if path.name == "mcp-guard.yaml" else "tools.json"
    check = jsonschema_rs.validator_for(json.loads(schemas()[name]), offline=True)
    assert [error.message for error in check.iter_errors(yaml.load(path, path.name).value)] == []
    assert (
        f"$schema={'' if name == 'config.json' else '../'}schemas/{name}"
        in path.read_text(encoding="utf-8").splitlines()[0]
    )


def test_an_unsupported_key_is_marked_in_editors_too() -> None:
    check = jsonschema_rs.validator_for(manifest_schema(), offline=True)
    entry = {"name": "a", "description": "A.", "inputSchema": {"type": "object"}, "python": {"function": "a:b"}}
    file = {"apiVersion": "mcp-guard/v1", "kind": "Tools", "tools": [entry]}
    assert check.is_valid(file)
    assert not check.is_valid({**file, "tools": [{**entry, "icons": []}]})
    assert not check.is_valid({**file, "tools": [{**entry, "timeout": "10 s"}]})
