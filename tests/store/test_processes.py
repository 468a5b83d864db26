"""Several processes on one file: one log, whatever happens to any of them."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.model.chain import leaf_hash
from mcp_guard.store.store import Store
from tests.store.helpers import assert_chained, lines, rows

ROOT = Path(__file__).parents[2]


def start(deed: str, path: Path, *rest: str, failpoint: str = "") -> "subprocess.Popen[str]":
    environ = {**os.environ, "MCP_GUARD_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "tests.store.actor", deed, str(path), *rest]
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def acknowledged(out: str) -> dict[int, str]:
    return {int(n): leaf for n, leaf in (line.split() for line in out.splitlines())}


def origin(path: Path) -> str:
    return Store.open_readonly(path).origin


@pytest.mark.holds("store:one-chain", "store:nothing-acknowledged-lost")
def test_three_processes_write_one_chain(path: Path) -> None:
    actors = [start("append", path, "60") for _ in range(3)]
    found: dict[int, str] = {}
    for actor in actors:
        out, err = actor.communicate(timeout=60)
        assert actor.returncode == 0, err
        mine = acknowledged(out)
        assert not found.keys() & mine.keys()
        found |= mine
    assert sorted(found) == list(range(180))
    assert assert_chained(path, origin(path)) == 180


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("store:nothing-acknowledged-lost")
@pytest.mark.parametrize("failpoint", ["store.before-commit:9", "store.after-commit:9"])
def test_a_killed_process_loses_nothing_it_acknowledged(path: Path, failpoint: str) -> None:
    doomed, other = start("append", path, "40", failpoint=failpoint), start("append", path, "40")
    out, _ = doomed.communicate(timeout=60)
    others, err = other.communicate(timeout=60)
    assert doomed.returncode == -9
    assert other.returncode == 0, err
    assert len(acknowledged(out)) == 8
    total = assert_chained(path, origin(path))
    assert total == 48 + failpoint.startswith("store.after")
    assert {*acknowledged(out), *acknowledged(others)} <= set(range(total))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("store:one-chain", "store:nothing-acknowledged-lost")
def test_killed_at_any_moment_the_others_go_on_with_one_chain(path: Path) -> None:
    chance = random.Random(4)
    actors = [start("append", path, "150") for _ in range(4)]
    heard = [""] * len(actors)
    for i, doomed in enumerate(actors[:2]):
        assert doomed.stdout is not None
        for _ in range(chance.randint(1, 60)):
            heard[i] += doomed.stdout.readline()
        doomed.kill()
        heard[i] += doomed.stdout.read()  # `communicate` would pass over what was read ahead
    found: dict[int, str] = {}
    for i, actor in enumerate(actors):
        out, err = actor.communicate(timeout=60)
        assert actor.returncode == (-9 if i < 2 else 0), err
        heard[i] += out
        mine = acknowledged(heard[i][: heard[i].rfind("\n") + 1])  # a line cut short was not heard
        assert not found.keys() & mine.keys()
        found |= mine
    assert assert_chained(path, origin(path)) >= len(found) > 300
    for n, line in enumerate(lines(path)):
        assert found.get(n, leaf_hash(line)) == leaf_hash(line)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.holds("store:liveness")
def test_a_process_is_alive_until_it_is_killed(path: Path) -> None:
    actor = start("intend", path)
    assert actor.stdout is not None
    boot, n = actor.stdout.readline().split()
    store = Store.open(path, "test")
    try:
        assert store.liveness.is_alive(boot)
        store.liveness.bury(boot)
        assert store.liveness.is_alive(boot)
        actor.kill()
        actor.communicate(timeout=60)
        assert not store.liveness.is_alive(boot)
        assert rows(path, "SELECT n, boot FROM inflight") == [(int(n), boot)]
        store.liveness.bury(boot)
        assert not (path.parent / "live" / f"{boot}.lock").exists()
        assert store.liveness.is_alive(store.boot)
    finally:
        store.writer.close()
        store.liveness.release()
    assert not store.liveness.is_alive(store.boot)


@pytest.mark.skipif(os.name != "posix", reason="resource limits and user ids")
@pytest.mark.holds("store:recovers", "store:nothing-acknowledged-lost")
@pytest.mark.parametrize("fault", ["full", "denied"])
def test_a_process_goes_on_when_the_fault_goes_away(path: Path, fault: str) -> None:
    out, err = start(fault, path).communicate(timeout=60)
    assert "refused: " in out, err
    assert "acknowledged: " in out, err
    assert f"acknowledged: {len(lines(path))}" in out
    assert_chained(path, origin(path))
