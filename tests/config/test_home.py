"""Where a home is, and which of its files no tool may touch."""

import os
from pathlib import Path

import pytest

from mcp_guard.config.home import find
from mcp_guard.config.load import load
from mcp_guard.model.errors import Invalid, UsageError
from tests.config.conftest import MINIMAL, Load


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    for name in ("outer", "outer/inner", "other"):
        (tmp_path / name / "deep/deeper").mkdir(parents=True)
        (tmp_path / name / "mcp-guard.yaml").write_text(MINIMAL)
    return tmp_path


@pytest.mark.holds("config:home")
def test_the_flag_then_the_variable_then_upwards(homes: Path) -> None:
    start = homes / "outer/inner/deep/deeper"
    environ = {"MCP_GUARD_HOME": str(homes / "outer")}
    assert find(homes / "other", environ, start) == homes / "other"
    assert find(None, environ, start) == homes / "outer"
    assert find(None, {}, start) == homes / "outer/inner"
    assert find(None, {"MCP_GUARD_HOME": ""}, homes / "outer") == homes / "outer"


@pytest.mark.holds("config:home")
def test_a_home_that_is_not_there_is_named_with_the_way_out(homes: Path) -> None:
    for home, environ in [
        (homes / "nowhere", {}),
        (homes / "outer/mcp-guard.yaml", {}),
        (homes / "outer/deep", {}),
        (None, {"MCP_GUARD_HOME": str(homes / "nowhere")}),
    ]:
        with pytest.raises(UsageError) as caught:
            load(home, environ=environ, cwd=homes / "outer")
        assert "mcp-guard init" in caught.value.hint


def test_no_home_above(tmp_path: Path) -> None:
    assert not any((parent / "mcp-guard.yaml").exists() for parent in tmp_path.parents)
    with pytest.raises(UsageError, match="directory above"):
        find(None, {}, tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_configuration_that_cannot_be_read(homes: Path) -> None:
    (homes / "other/mcp-guard.yaml").chmod(0)
    with pytest.raises(Invalid, match="unreadable"):
        load(homes / "other", environ={})


def test_files_are_named_from_the_home(load_text: Load, tmp_path: Path) -> None:
    home = load_text(MINIMAL + f"store: sqlite:data/x.db\nkeys: {tmp_path.as_posix()}/elsewhere\n")
    assert home.store == tmp_path / "data/x.db"
    assert home.keys == tmp_path / "elsewhere"
    assert home.path("policy/model.conf") == tmp_path / "policy/model.conf"


@pytest.mark.holds("manifest:cannot-reach-home")
def test_what_belongs_to_the_guard_is_reserved(load_text: Load, tmp_path: Path) -> None:
    text = (
        "apiVersion: mcp-guard/v1\nname: desk\ntools: [a/b/*.yaml, '*.tools.yaml', c/**/d.yaml]\n"
        "policy: {rules: rules.csv}\nkeys: k\nstore: sqlite:var/guard.db\n"
    )
    (tmp_path / "x.tools.yaml").touch()
    reserved = load_text(text).reserved
    held = [
        *("mcp-guard.yaml", "rules.csv", "x.tools.yaml", "a/b/new.yaml", "c/e/d.yaml", "policy/model.conf"),
        *("policy/tests/t.yaml", "k/signing", "var/guard.db", "var/guard.db-wal", "var/guard.db.lock", "var/secrets/x"),
        "var/live/boot.lock",
    ]
    free = ["orders.db", "var/orders.db", "var/guard.database", "a/orders.db", "data/rules.csv"]
    assert [name for name in held if not reserved.holds(tmp_path / name)] == []
    assert [name for name in free if reserved.holds(tmp_path / name)] == []
