"""Later sources win, every origin is kept, and nothing that is not enforced is accepted."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mcp_guard.config.load import load
from mcp_guard.model.errors import Invalid
from mcp_guard.model.note import COSIGNATURE
from tests.audit.signing import Signer
from tests.config.conftest import MINIMAL, Load

HEAD = "apiVersion: mcp-guard/v1\nname: desk\n"


def _oidc(*keys: str) -> str:
    return f"{HEAD}identity: {{oidc: {{{', '.join(keys)}}}}}\n"


def _full(key: str) -> str:
    return _oidc("issuer: 'https://login.example'", "audience: 'https://guard.example/mcp'", key)


LOG_VKEY = str(Signer("desk/0", 1).key)
WITNESS_VKEY = str(Signer("w.example", 1, COSIGNATURE).key)


def _anchor(text: str) -> str:
    return f"{HEAD}audit: {{anchors: [{text}]}}\n"


GOOD_HOOK = "url: 'https://c.example/x', secret: '${secret:h}'"


def _hook(*hooks: str) -> str:
    return HEAD + f"approvals: {{webhooks: [{', '.join(f'{{{hook}}}' for hook in hooks)}]}}\n"


BROKEN: list[tuple[str, str | bytes, str, tuple[int, int]]] = [
    ("empty", "", "empty", (1, 1)),
    ("a list", "- 1\n", "type", (1, 1)),
    ("a text", "hello\n", "type", (1, 1)),
    ("binary", b"\x00\x01", "yaml", (1, 1)),
    ("not UTF-8", HEAD.encode() + b"store: \xff\n", "yaml", (3, 1)),
    ("truncated", MINIMAL[:-2], "yaml", (4, 10)),
    ("a key twice", HEAD + "name: desk\n", "duplicate_key", (3, 1)),
    ("hidden character", HEAD + "store: 'sqlite:\u202ebd.x'\n", "hidden_character", (3, 16)),
    ("no apiVersion", "name: desk\n", "missing_key", (1, 1)),
    ("no name", "apiVersion: mcp-guard/v1\n", "missing_key", (1, 1)),
    ("other version", "apiVersion: mcp-guard/v2\nname: desk\n", "value", (1, 1)),
    ("capital name", "apiVersion: mcp-guard/v1\nname: Desk\n", "value", (2, 1)),
    ("name with slash", "apiVersion: mcp-guard/v1\nname: desk/x\n", "value", (2, 1)),
    ("name with line break", 'apiVersion: mcp-guard/v1\nname: "desk\\n"\n', "value", (2, 1)),
    ("long name", f"apiVersion: mcp-guard/v1\nname: {'a' * 64}\n", "value", (2, 1)),
    ("unknown key", HEAD + "toolz: []\n", "unknown_key", (3, 1)),
    ("unknown key below", HEAD + "server:\n  http: {prot: 1}\n", "unknown_key", (4, 10)),
    ("tools no list", HEAD + "tools: tool_manifests/*.yaml\n", "type", (3, 1)),
    ("tools of numbers", HEAD + "tools: [3]\n", "type", (3, 9)),
    ("policy no mapping", HEAD + "policy: policy.csv\n", "type", (3, 1)),
    ("port as text", HEAD + "server: {http: {port: '80'}}\n", "type", (3, 17)),
    ("port too large", HEAD + "server: {http: {port: 65536}}\n", "value", (3, 17)),
    ("port as bool", HEAD + "server: {http: {port: true}}\n", "type", (3, 17)),
    ("allow as text", HEAD + "identity: {local: {allow: 'yes'}}\n", "type", (3, 20)),
    ("allow without subject", HEAD + "identity: {local: {allow: true}}\n", "missing_key", (3, 12)),
    ("bare subject", HEAD + "identity: {local: {subject: alice}}\n", "value", (3, 20)),
    ("role as subject", HEAD + "identity: {local: {subject: role:admin}}\n", "value", (3, 20)),
    ("bare client", HEAD + "identity: {local: {client: local}}\n", "value", (3, 20)),
    ("store without scheme", HEAD + "store: var/guard.db\n", "value", (3, 1)),
    ("store without path", HEAD + "store: 'sqlite:'\n", "value", (3, 1)),
    ("postgresql", HEAD + "store: postgresql://u:hunter2@db/x\n", "unsupported", (3, 1)),
    ("issuer no address", HEAD + "identity: {oidc: {issuer: x}}\n", "value", (3, 19)),
    ("issuer in clear", _oidc("issuer: 'http://login.example'"), "value", (3, 19)),
    ("issuer with a query", _oidc("issuer: 'https://login.example/?a=1'"), "value", (3, 19)),
    ("issuer with a name", _oidc("issuer: 'https://u:hunter2@login.example'"), "value", (3, 19)),
    ("issuer alone", _oidc("issuer: 'https://login.example'"), "missing_key", (3, 12)),
    ("audience alone", _oidc("audience: 'https://guard.example/mcp'"), "missing_key", (3, 12)),
    (
        "audience with a fragment",
        _oidc("issuer: 'https://login.example'", "audience: 'https://guard.example/#a'"),
        "value",
        (3, 52),
    ),
    ("algorithm none", _full("algorithms: [none]"), "value", (3, 104)),
    ("algorithm HS256", _full("algorithms: [HS256]"), "value", (3, 104)),
    ("no algorithm", _full("algorithms: []"), "value", (3, 91)),
    ("type of an ID token", _full("types: [id+jwt]"), "value", (3, 99)),
    ("every network", _full("networks: [0.0.0.0/0]"), "value", (3, 102)),
    ("a client of no agent", _full("clients: [{id: x, name: user:x}]"), "value", (3, 109)),
    ("a prefix of roles", _full("subject_prefix: 'role:'"), "value", (3, 91)),
    ("a secret written out", _full("exchange: {client_secret: hunter2}"), "value", (3, 102)),
    ("local approve", HEAD + "environment: other\nidentity: {local: {approve: true}}\n", "value", (4, 20)),
    ("behind a proxy", HEAD + "server: {http: {behind_proxy: true}}\n", "unsupported", (3, 17)),
    ("an anchor that is a text", _anchor("a"), "type", (3, 19)),
    ("an anchor of nothing", _anchor("{}"), "value", (3, 19)),
    ("an anchor of two kinds", _anchor("{file: /mnt/a, http: 'https://a.example'}"), "value", (3, 19)),
    ("a witness without a key", _anchor("{witness: 'https://w.example'}"), "value", (3, 19)),
    ("a key that is none", _anchor("{witness: 'https://w.example', key: abc}"), "value", (3, 50)),
    ("a log's key for a witness's", _anchor(f"{{witness: 'https://w.example', key: '{LOG_VKEY}'}}"), "value", (3, 50)),
    (
        "a witness with a password",
        _anchor(f"{{key: '{WITNESS_VKEY}', witness: 'https://u:hunter2@w.example'}}"),
        "value",
        (3, 92),
    ),
    ("a witness by file", _anchor(f"{{witness: 'file:///etc', key: '{WITNESS_VKEY}'}}"), "value", (3, 20)),
    ("a header that is a secret", _anchor("{http: 'https://a.example', headers: {X-Key: hunter2}}"), "value", (3, 57)),
    ("a header of http itself", _anchor("{http: 'https://a.example', headers: {Host: '${env:A}'}}"), "value", (3, 47)),
    ("headers for a file", _anchor("{file: /mnt/a, headers: {}}"), "value", (3, 19)),
    ("a copy over plain http", _anchor("{http: 'http://a.example'}"), "value", (3, 20)),
    ("a copy over the policy", _anchor("{file: policy/policy.csv}"), "reaches_home", (3, 20)),
    ("a copy over the store", _anchor("{file: var/guard.db-wal}"), "reaches_home", (3, 20)),
    ("a copy among the keys", _anchor("{file: var/keys/audit.key}"), "reaches_home", (3, 20)),
    ("an authority without certificates", _anchor("{rfc3161: 'http://t.example/tsr'}"), "value", (3, 19)),
    ("certificates for a file", _anchor("{file: /mnt/a, ca: ca.pem}"), "value", (3, 19)),
    (
        "an authority with a key",
        _anchor(f"{{rfc3161: 'http://t', ca: a, key: '{WITNESS_VKEY}'}}"),
        "value",
        (3, 19),
    ),
    ("an anchor asked all the time", _anchor("{file: /mnt/a, every: 1ms}"), "value", (3, 34)),
    ("two anchors of one name", _anchor("{file: /mnt/a}, {file: /mnt/a}"), "value", (3, 9)),
    ("an epoch that is none", HEAD + "audit: {key_epoch: monthly}\n", "value", (3, 9)),
    ("a retention that is no duration", HEAD + "audit: {retention: long}\n", "value", (3, 9)),
    ("engine", HEAD + "tasks: {engine: sqlite}\n", "unsupported", (3, 9)),
    ("inline wait that is no duration", HEAD + "tasks: {inline_wait: long}\n", "value", (3, 9)),
    ("a breaker that rests for no time", HEAD + "egress: {breaker: {open: 0s}}\n", "value", (3, 20)),
    ("a breaker that rests for days", HEAD + "egress: {breaker: {open: 2d}}\n", "value", (3, 20)),
    ("a breaker that counts backwards", HEAD + "egress: {breaker: {failures: -1}}\n", "value", (3, 20)),
    ("a webhook without a secret", _hook("url: 'https://c.example/x'"), "missing_key", (3, 24)),
    ("a webhook with its secret", _hook("url: 'https://c.example/x', secret: hunter2"), "value", (3, 53)),
    ("a webhook over plain http", _hook("url: 'http://c.example/x', secret: '${env:H}'"), "value", (3, 25)),
    ("a webhook with a password", _hook("url: 'https://u:hunter2@c.example', secret: '${env:H}'"), "value", (3, 25)),
    ("a webhook into a file", _hook("url: 'file:///etc/x', secret: '${env:H}'"), "value", (3, 25)),
    ("an event that is none", _hook(f"{GOOD_HOOK}, on: [decided]"), "value", (3, 81)),
    ("no event", _hook(f"{GOOD_HOOK}, on: []"), "value", (3, 76)),
    ("a webhook told everything", _hook(f"{GOOD_HOOK}, detail: all"), "value", (3, 76)),
    ("two webhooks of one name", _hook(GOOD_HOOK, GOOD_HOOK), "value", (3, 13)),
    ("change control", HEAD + "policy: {change_control: true}\n", "value", (3, 10)),
]


@pytest.mark.holds("config:refused-with-place")
@pytest.mark.parametrize(("text", "code", "place"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_file_is_refused_with_its_place(
    load_text: Load, text: str | bytes, code: str, place: tuple[int, int]
) -> None:
    with pytest.raises(Invalid) as caught:
        load_text(text)
    assert [(problem.code, (problem.line, problem.column)) for problem in caught.value.problems] == [(code, place)]
    assert {problem.file for problem in caught.value.problems} == {"mcp-guard.yaml"}
    assert "hunter2" not in str(caught.value)


def test_two_keys_are_enough(load_text: Load) -> None:
    settings = load_text(HEAD).settings
    assert settings.tools == ("tool_manifests/*.yaml",)
    assert settings.policy.rules == "policy/policy.csv"
    assert (settings.store, settings.keys, settings.environment) == ("sqlite:var/guard.db", "var/keys", "production")
    assert (settings.identity.local.allow, settings.identity.local.subject) == (False, None)
    assert (settings.server.http.host, settings.server.http.port) == ("127.0.0.1", 8765)


@pytest.mark.parametrize(
    "text", [MINIMAL, HEAD + "audit: {anchors: []}\ntasks: {}\nidentity: {}\nserver: {http: {}}\n"]
)
def test_what_says_nothing_is_accepted(load_text: Load, text: str) -> None:
    assert load_text(text).settings.name == "desk"


def test_anchors_are_read(load_text: Load) -> None:
    text = _anchor(
        f"{{witness: 'http://10.0.0.7:8780', key: '{WITNESS_VKEY}', networks: [10.0.0.0/24], every: 5m}}, "
        "{http: 'https://a.example/x?token=1', headers: {Authorization: 'Bearer ${secret:archive}'}}, "
        "{file: /mnt/worm/log, name: worm}, {rfc3161: 'http://t.example/tsr', ca: certificates/tsa.pem}"
    )
    settings = load_text(text).settings
    named = [(anchor.kind, anchor.called) for anchor in settings.audit.anchors]
    assert named == [("witness", "w.example"), ("http", "a.example"), ("file", "worm"), ("rfc3161", "t.example")]
    assert [str(key) for key in settings.audit.witnesses] == [WITNESS_VKEY]
    assert hash(settings) == hash(load_text(text).settings)


def test_settings_cannot_be_changed(load_text: Load) -> None:
    settings = load_text().settings
    with pytest.raises(ValidationError):
        settings.name = "other"
    with pytest.raises(ValidationError):
        settings.server.http.port = 1
    assert hash(settings) == hash(load_text().settings)


@pytest.mark.holds("config:precedence")
def test_defaults_then_file_then_environment_then_flags(load_text: Load) -> None:
    text = MINIMAL + "server: {http: {port: 1}}\n"
    environ = {"MCP_GUARD_SERVER__HTTP__PORT": "2"}
    key = "server.http.port"
    found = [load_text(), load_text(text), load_text(text, environ), load_text(text, environ, server__http__port=3)]
    assert [home.settings.server.http.port for home in found] == [8765, 1, 2, 3]
    assert [home.origins[key] for home in found] == ["default", "file:5", "env:MCP_GUARD_SERVER__HTTP__PORT", "flag"]


@pytest.mark.holds("config:precedence")
def test_every_value_has_an_origin(load_text: Load) -> None:
    origins = load_text(MINIMAL + "identity:\n  local:\n    allow: true\n    subject: user:a\n").origins
    assert origins["name"] == "file:2"
    assert origins["identity.local.subject"] == "file:8"
    assert origins["identity.local.client"] == "default"
    assert origins["policy.model"] == "default"
    assert "identity" not in origins


@pytest.mark.holds("config:precedence")
def test_a_section_the_file_leaves_out_can_be_set(load_text: Load) -> None:
    environ = {"MCP_GUARD_IDENTITY__LOCAL__ALLOW": "true", "MCP_GUARD_IDENTITY__LOCAL__SUBJECT": "user:bob"}
    local = load_text(MINIMAL, environ).settings.identity.local
    assert (local.allow, local.subject) == (True, "user:bob")


def test_a_problem_names_who_set_the_value(load_text: Load) -> None:
    with pytest.raises(Invalid) as caught:
        load_text(
            MINIMAL + "environment: Bad!\n",
            {"MCP_GUARD_STORE": "hunter2", "MCP_GUARD_TOOLZ": "hunter2"},
            server__http__port="hunter2",
        )
    assert [(problem.file, problem.line, problem.code) for problem in caught.value.problems] == [
        ("MCP_GUARD_STORE", 0, "value"),
        ("mcp-guard.yaml", 5, "value"),
        ("flag server.http.port", 0, "type"),
        ("MCP_GUARD_TOOLZ", 0, "unknown_key"),
    ]
    assert "hunter2" not in str(caught.value)


def test_a_flag_over_a_section_that_is_no_mapping_leaves_the_problem(load_text: Load) -> None:
    with pytest.raises(Invalid) as caught:
        load_text(MINIMAL + "server: 3\n", server__http__port=1)
    assert [(problem.code, problem.line) for problem in caught.value.problems] == [("type", 5)]


def test_an_unknown_flag_is_a_problem(load_text: Load) -> None:
    with pytest.raises(Invalid) as caught:
        load_text(server__http__prot=1)
    assert [(problem.code, problem.file) for problem in caught.value.problems] == [
        ("unknown_key", "flag server.http.prot")
    ]


def test_loading_does_not_change_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mcp-guard.yaml").write_text(MINIMAL)
    monkeypatch.setenv("MCP_GUARD_NAME", "from-the-environment")
    assert load(tmp_path).settings.name == "from-the-environment"
    assert load(tmp_path, environ={}).settings.name == "desk"
