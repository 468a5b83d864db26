"""What reaches the log of an exception: what and where, and nothing that it quotes."""

import json
import logging
from collections.abc import Iterator

import pytest

from mcp_guard.kit.raised import kind_and_place
from mcp_guard.telemetry import log


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The product's logger, put back as it was."""
    found = logging.getLogger("mcp_guard")
    before = (found.handlers[:], found.propagate, found.level)
    yield found
    found.handlers[:], found.propagate = before[0], before[1]
    found.setLevel(before[2])


@pytest.fixture
def last(root: logging.Logger) -> Iterator[logging.Handler]:
    """What has the records that nobody listens to, put back as it was."""
    found = logging.lastResort
    assert found is not None
    before = found.formatter, found.level
    yield found
    found.setFormatter(before[0])
    found.setLevel(before[1])


@pytest.mark.holds("secrets:no-traceback")
@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_logged_without_its_text(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    log.configure(verbose=0, as_json=as_json, redact=str)
    try:
        json.loads("the password is hunter2")
    except ValueError:
        root.getChild("tasks").exception("a task cannot go on", extra={"task": "t1"})
    said = capsys.readouterr().err
    assert "a task cannot go on" in said
    assert "t1" in said
    assert "JSONDecodeError at decoder.py:" in said
    assert "test_log.py:" in said
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert said.count("\n") == 1


@pytest.mark.holds("secrets:no-traceback")
@pytest.mark.parametrize("as_json", [True, False])
def test_nor_is_one_that_a_library_logs(
    last: logging.Handler, capsys: pytest.CaptureFixture[str], as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = logging.getLogger("mcp.server.runner")
    monkeypatch.setattr(others, "propagate", False)  # to the handlers of the tests
    log.configure(verbose=0, as_json=as_json, redact=lambda text: text.replace("hunter3", "[redacted]"))
    try:
        json.loads("the password is hunter2")
    except ValueError:
        others.exception("a handler raised, given hunter3")
    others.info("nobody asked")
    assert last is logging.lastResort
    said = capsys.readouterr().err
    assert "a handler raised, given [redacted]" in said
    assert "JSONDecodeError at decoder.py:" in said
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert said.count("\n") == 1


def test_an_import_that_failed_names_the_module() -> None:
    assert kind_and_place(ModuleNotFoundError("No module named 'x'", name="x")) == "ModuleNotFoundError (x)"
