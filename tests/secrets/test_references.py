import os
from pathlib import Path

import pytest

from mcp_guard.kit.references import Reference
from mcp_guard.secrets.redact import REDACTED, Redactor
from mcp_guard.secrets.references import Resolver, Unresolvable, variable_of

KEY = Reference("secret", "payments_key")
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ: dict[str, str] = {}
        self.redactor = Redactor()
        self.resolver = Resolver(path, self.environ, self.redactor)

    def write(self, text: str | bytes, name: str = "payments_key", mode: int = 0o600) -> Path:
        file = self.path / "var" / "secrets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        return file


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_secret_comes_from_its_private_file(home: Home) -> None:
    home.write("s3cret-value\n")
    assert home.resolver.resolve(KEY) == "s3cret-value"


def test_the_environment_goes_before_the_file(home: Home) -> None:
    home.write("from-the-file")
    home.environ["MCP_GUARD_SECRET_PAYMENTS_KEY"] = "from-the-environment"
    assert home.resolver.resolve(KEY) == "from-the-environment"


@pytest.mark.parametrize(("name", "variable"), [("a-b.c", "MCP_GUARD_SECRET_A_B_C"), ("x1", "MCP_GUARD_SECRET_X1")])
def test_a_secret_names_its_variable(name: str, variable: str) -> None:
    assert variable_of(name) == variable


def test_variables_and_files_are_resolved(home: Home, tmp_path: Path) -> None:
    home.environ["REGION"] = "eu"
    mounted = tmp_path / "mounted"
    mounted.write_text("mounted-secret\r\n")
    mounted.chmod(0o444)
    assert home.resolver.resolve(Reference("env", "REGION")) == "eu"
    assert home.resolver.resolve(Reference("file", str(mounted))) == "mounted-secret"


@pytest.mark.holds("secrets:resolved-at-use")
def test_a_changed_file_is_read_again(home: Home) -> None:
    home.write("first-value")
    assert home.resolver.resolve(KEY) == "first-value"
    home.write("other-value")
    assert home.resolver.resolve(KEY) == "other-value"
    assert home.redactor.text("first-value other-value") == f"{REDACTED} {REDACTED}"


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o660])
@pytest.mark.holds("secrets:private-files")
def test_a_file_others_can_touch_is_refused(home: Home, mode: int) -> None:
    home.write("s3cret-value", mode=mode)
    with pytest.raises(Unresolvable) as refused:
        home.resolver.resolve(KEY)
    assert "0600" in refused.value.reason


@posix
@pytest.mark.holds("secrets:private-files")
def test_a_file_opened_to_others_later_is_refused_too(home: Home) -> None:
    file = home.write("s3cret-value")
    home.resolver.resolve(KEY)
    file.chmod(0o644)
    with pytest.raises(Unresolvable):
        home.resolver.resolve(KEY)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff\xfe" * 10, b"x" * 70_000])
def test_an_unusable_value_is_refused_without_being_shown(home: Home, content: bytes) -> None:
    home.write(content)
    with pytest.raises(Unresolvable) as refused:
        home.resolver.resolve(KEY)
    assert refused.value.code == "upstream_unavailable"
    assert refused.value.executed == "no"
    assert "${secret:payments_key}" in refused.value.reason
    assert "abc" not in refused.value.reason


@pytest.mark.parametrize(
    "reference", [KEY, Reference("env", "NOT_SET"), Reference("file", "/nowhere/at/all"), Reference("file", "/")]
)
def test_what_is_missing_is_named(home: Home, reference: Reference) -> None:
    with pytest.raises(Unresolvable) as refused:
        home.resolver.resolve(reference)
    assert f"${{{reference.kind}:{reference.name}}}" in refused.value.reason


@pytest.mark.holds("secrets:redacted")
def test_whatever_is_resolved_is_redacted_from_then_on(home: Home) -> None:
    home.write("s3cret-value")
    assert home.redactor.text("s3cret-value") == "s3cret-value"
    home.resolver.resolve(KEY)
    assert home.redactor.text("s3cret-value") == REDACTED
