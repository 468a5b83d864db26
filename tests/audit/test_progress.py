"""A progress bar: on a terminal one line that is wiped in the end, elsewhere nothing."""

import io

import pytest

from mcp_guard.audit.progress import bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.holds("audit:verify-stream")
def test_on_a_terminal_it_grows_and_is_wiped() -> None:
    terminal = Terminal()
    draw = bar(200, terminal)
    assert draw is not None
    shown = []
    for _ in range(3):
        draw(90)
        shown.append(terminal.getvalue().rpartition("\r")[2])
    assert "45 %" in shown[0]
    assert "90 %" in shown[1]
    assert shown[0].count("#") < shown[1].count("#")
    assert len(set(map(len, shown[:2]))) == 1
    assert "\n" not in terminal.getvalue()
    assert shown[2] == "", "what was drawn is gone"


@pytest.mark.holds("audit:verify-stream")
def test_elsewhere_and_for_nothing_there_is_none() -> None:
    assert bar(200, io.StringIO()) is None
    assert bar(0, Terminal()) is None
