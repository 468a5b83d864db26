"""I10 by property: however a file of a home is damaged, a start refuses and says where; a reload changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.build.definition import define
from mcp_guard.build.questions import define_tested
from mcp_guard.config.load import load
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from tests.build.conftest import Desk
from tests.simulators.process import Program

CONFIG = "mcp-guard.yaml"
RELOADED = ("policy/policy.csv", "policy/model.conf", "policy/principals.yaml", "tool_manifests/orders.yaml")
RUBBISH = (b"", b"\x00", b"\xff\xfe", b"\n", b": [", b"}\n", b", ", b"\t", b"&a *a", "\u202e".encode(), b"x" * 5000)

Damage = Callable[[bytes], bytes]


def _cut(share: float, _: bytes) -> Damage:
    return lambda data: data[: int(len(data) * share)]


def _insert(share: float, rubbish: bytes) -> Damage:
    return lambda data: data[: int(len(data) * share)] + rubbish + data[int(len(data) * share) :]


def _overwrite(share: float, rubbish: bytes) -> Damage:
    def damage(data: bytes) -> bytes:
        at = int(len(data) * share)
        return data[:at] + rubbish + data[at + max(1, len(rubbish)) :]

    return damage


def _drop_a_line(share: float, _: bytes) -> Damage:
    def damage(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        del lines[int((len(lines) - 1) * share)]
        return b"".join(lines)

    return damage


damages = st.builds(
    lambda how, share, rubbish: how(share, rubbish),
    st.sampled_from([_cut, _insert, _overwrite, _drop_a_line]),
    st.floats(0, 1, allow_nan=False),
    st.sampled_from(RUBBISH),
)


def _located(problems: list[Problem]) -> None:
    """Every problem says where and what; what is about a whole file says which."""
    assert problems
    for problem in problems:
        assert problem.code, problem
        assert problem.message, problem
        assert problem.file, problem
        if problem.line:
            assert problem.column >= 1, problem
        else:
            assert problem.code in ("unreadable", "missing", "no_tools", "case_failed", "too_large"), problem


@pytest.mark.holds("home:broken-is-refused")
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from([CONFIG, *RELOADED]), damage=damages)
def test_a_damaged_home_starts_not_at_all_or_with_what_it_says(file: str, damage: Damage, desk: Program) -> None:
    path = desk.home / file
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    try:
        define(load(desk.home, environ={}))
    except Invalid as error:
        _located(list(error.problems))
    finally:
        path.write_bytes(whole)
    assert not (desk.home / "var" / "guard.db").exists(), "nothing is made by looking"


@pytest.mark.holds("home:broken-is-refused", "reload:in-force")
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(RELOADED), damage=damages)
async def test_a_damaged_file_never_replaces_a_good_one(file: str, damage: Damage, served: Desk) -> None:
    """What is in force after a look is what was, or what a start from the same files would put in force."""
    path = served.home / file
    whole = path.read_bytes()
    before = served.guard.definition
    path.write_bytes(damage(whole))
    fresh: Any = None
    try:
        fresh = define_tested(load(served.home, environ={}))
    except Invalid as error:
        _located(list(error.problems))
    try:
        await served.settle()
        after = served.guard.definition
        if fresh is None:
            assert after is before
            assert not (await served.refund(3)).is_error, "and it goes on serving"
        else:
            assert (after.policy.version, sorted(after.catalog)) == (fresh.policy.version, sorted(fresh.catalog))
    finally:
        path.write_bytes(whole)
        await served.settle()
    assert served.guard.definition.policy.version == before.policy.version


@pytest.mark.holds("home:broken-is-refused", "cli:broken-home")
@pytest.mark.parametrize("command", [("serve", "--stdio"), ("serve", "--http", "127.0.0.1:0"), ("call", "orders_get")])
def test_a_process_that_cannot_start_names_the_place(command: tuple[str, ...], desk: Program) -> None:
    path: Path = desk.home / "policy" / "policy.csv"
    text = path.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("p, refund-limit"))
    path.write_text(text.replace(row, row.replace("deny", "denny")), encoding="utf-8")
    line, column = text.splitlines().index(row) + 1, row.index("deny") + 1
    done = desk.run(*command)
    assert (done.status, done.out) == (3, "")
    assert f"policy/policy.csv:{line}:{column}: error[effect]" in done.err
    assert "hint: did you mean deny?" in done.err
    assert not (desk.home / "var" / "guard.db").exists()
