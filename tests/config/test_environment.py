"""Settings by variable: converted to the type of their key or refused by name, never by value."""

import pytest

from mcp_guard.config.environment import leaves, name_of, read
from mcp_guard.config.settings import Settings
from mcp_guard.model.errors import Invalid
from tests.config.conftest import MINIMAL, Load


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("MCP_GUARD_NAME", "other", "name", "other"),
        ("MCP_GUARD_STORE", "sqlite:x.db", "store", "sqlite:x.db"),
        ("MCP_GUARD_ENVIRONMENT", "123", "environment", "123"),
        ("MCP_GUARD_SERVER__HTTP__PORT", "9000", "server.http.port", 9000),
        (
            "MCP_GUARD_SERVER__HTTP__ALLOWED_HOSTS",
            "a.example, b.example:80",
            "server.http.allowed_hosts",
            ("a.example", "b.example:80"),
        ),
        ("MCP_GUARD_SERVER__HTTP__ALLOWED_HOSTS", "", "server.http.allowed_hosts", ()),
        ("MCP_GUARD_TOOLS", '["a.yaml", "b.yaml"]', "tools", ("a.yaml", "b.yaml")),
        ("MCP_GUARD_IDENTITY__LOCAL__APPROVE", "false", "identity.local.approve", False),
        ("MCP_GUARD_POLICY__RULES", "p.csv", "policy.rules", "p.csv"),
    ],
)
def test_a_variable_sets_its_key(load_text: Load, name: str, text: str, key: str, value: object) -> None:
    home = load_text(MINIMAL, {name: text})
    found: object = home.settings
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value
    assert home.origins[key] == f"env:{name}"


BROKEN = [
    ("MCP_GUARD_SERVER__HTTP__PORT", "80 ", "type"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "0x50", "type"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "٨٠", "type"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "-1", "type"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "9" * 5000, "type"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "99999", "value"),
    ("MCP_GUARD_SERVER__HTTP__PORT", "", "type"),
    ("MCP_GUARD_IDENTITY__LOCAL__ALLOW", "True", "type"),
    ("MCP_GUARD_IDENTITY__LOCAL__ALLOW", "1", "type"),
    ("MCP_GUARD_TOOLS", "[a.yaml", "type"),
    ("MCP_GUARD_TOOLS", "[3]", "type"),
    ("MCP_GUARD_NAME", "", "value"),
    ("MCP_GUARD_APIVERSION", "mcp-guard/v1", "unknown_key"),
    ("MCP_GUARD_SERVER", "x", "unknown_key"),
    ("MCP_GUARD_SERVER__HTTP", "x", "unknown_key"),
    ("MCP_GUARD_SEVER__HTTP__PORT", "1", "unknown_key"),
    ("MCP_GUARD_SERVER_HTTP_PORT", "1", "unknown_key"),
    ("MCP_GUARD_SECRETZ", "x", "unknown_key"),
    ("MCP_GUARD_", "x", "unknown_key"),
    ("MCP_GUARD_STORE", "postgresql://hunter2", "unsupported"),
    ("MCP_GUARD_IDENTITY__LOCAL__APPROVE", "true", "value"),
    ("MCP_GUARD_IDENTITY__OIDC__ISSUER", "hunter2", "value"),
    ("MCP_GUARD_TASKS__ENGINE", "sqlite", "unsupported"),
    ("MCP_GUARD_AUDIT__RETENTION", "long", "value"),
]


@pytest.mark.holds("config:environment")
@pytest.mark.parametrize(("name", "text", "code"), BROKEN)
def test_a_variable_that_means_nothing_is_refused_by_name(load_text: Load, name: str, text: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_text(MINIMAL, {name: text})
    (problem,) = caught.value.problems
    assert (problem.file, problem.code) == (name, code)
    assert problem.hint or problem.message.startswith("expected")
    assert "hunter2" not in str(problem)


@pytest.mark.holds("config:environment")
def test_a_near_miss_is_answered_with_the_right_name() -> None:
    _, problems = read({"MCP_GUARD_SEVER__HTTP__PORT": "1", "MCP_GUARD_SERVER__HTTP": "x"}, Settings)
    assert [problem.hint for problem in problems] == [
        "this is a section; set one of its keys, for example MCP_GUARD_SERVER__HTTP__HOST",
        "did you mean MCP_GUARD_SERVER__HTTP__PORT?",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "MCP_GUARD_HOME",
        "MCP_GUARD_TOKEN",
        "MCP_GUARD_FAILPOINT",
        "MCP_GUARD_SECRET_PAYMENTS_KEY",
        "mcp_guard_x",
        "PATH",
    ],
)
def test_variables_that_are_not_settings_are_left_alone(name: str) -> None:
    assert read({name: "x"}, Settings) == ([], [])


def test_every_setting_has_a_variable_of_its_own() -> None:
    names = [name_of(key) for key in leaves(Settings)]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith("MCP_GUARD_SECRET_")]
