"""A witness as strangers and its logs meet it: a process of its own, over HTTP."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.audit.submission import MAX_BYTES
from mcp_guard.audit.verify import verify_signature
from mcp_guard.model.note import COSIGNATURE, open_note, parse_note
from tests.audit.signing import checkpoint, proven, submission
from tests.audit.test_key_epochs import LOG, ONE, ORIGIN, TWO, Log
from tests.simulators.raw import Answer, exchange
from tests.simulators.witness import Witnessing, witnessing

FORK = Log().fill(40).lines


async def submit(witness: Witnessing, size: int, old: int, lines: list[bytes] = LOG.lines) -> Answer:
    body = submission(lines, checkpoint(lines, ORIGIN, ONE, size), old).format()
    return await witness.post("/add-checkpoint", body)


@pytest.mark.holds("witness:protocol")
async def test_it_cosigns_over_http(tmp_path: Path) -> None:
    with witnessing(tmp_path / "w", ONE.key) as witness:
        assert witness.key.kind == COSIGNATURE
        answer = await submit(witness, 8, 0)
        note = parse_note(checkpoint(LOG.lines, ORIGIN, ONE, 8).format() + answer.body)
        ((key, _),) = open_note(note, [witness.key], verify_signature)
        assert key == witness.key
        wrong = await submit(witness, 9, 0)
        assert (wrong.status, wrong.headers["content-type"], wrong.body) == (409, "text/x.tlog.size", b"8\n")
        announced = proven(LOG.lines, 7, checkpoint(LOG.lines, ORIGIN, ONE, 8)).format()
        assert (await witness.post("/add-key", announced)).status == 200
        later = submission(LOG.lines, checkpoint(LOG.lines, ORIGIN, TWO, 12), 8).format()
        assert (await witness.post("/add-checkpoint", later)).status == 200


@pytest.mark.holds("witness:strangers")
async def test_strangers_learn_nothing_and_hold_up_nobody(tmp_path: Path) -> None:
    with witnessing(tmp_path / "w", ONE.key) as witness:
        slow = asyncio.create_task(
            exchange(witness.port, b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 9\r\n\r\nold")
        )
        huge = b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 10737418240\r\n\r\n" + b"x" * (
            MAX_BYTES + 1
        )
        assert (await exchange(witness.port, huge)).status == 413
        for head in (b"GET /add-checkpoint", b"PUT /add-key"):
            assert (await exchange(witness.port, head + b" HTTP/1.1\r\nhost: w\r\n\r\n")).status == 405
        assert (await exchange(witness.port, b"GET /healthz HTTP/1.1\r\nhost: w\r\n\r\n")).status == 404
        assert (await exchange(witness.port, b"nonsense\r\n\r\n")).status == 400
        assert (await witness.post("/add-checkpoint", b"\xff" * 1000)).status == 400
        answers = await asyncio.gather(*(submit(witness, 8, 0) for _ in range(20)))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 19
        assert (await slow).status == 408


@pytest.mark.holds("witness:one-history")
async def test_of_two_histories_at_once_one_is_signed(tmp_path: Path) -> None:
    with witnessing(tmp_path / "w", ONE.key) as witness:
        both = [submit(witness, 8, 0, lines) for lines in (LOG.lines, FORK) for _ in range(10)]
        answers = await asyncio.gather(*both)
    signed = {place // 10 for place, answer in enumerate(answers) if answer.status == 200}
    assert len(signed) == 1


@pytest.mark.holds("witness:crash")
@pytest.mark.parametrize("point", ["witness.memory-made", "witness.before-remembering", "witness.remembered"])
async def test_killed_at_any_point_it_signs_one_history(tmp_path: Path, point: str) -> None:
    directory = tmp_path / "w"
    if point == "witness.memory-made":
        with (
            pytest.raises(json.JSONDecodeError),
            witnessing(directory, ONE.key, environ={"MCP_GUARD_FAILPOINT": point}),
        ):
            pass  # it was killed before it could say its key
        with witnessing(directory, ONE.key) as witness:
            assert (await submit(witness, 8, 0)).status == 200
        return
    with witnessing(directory, ONE.key) as witness:
        key = witness.key
        assert (await submit(witness, 3, 0)).status == 200
    with witnessing(directory, ONE.key, environ={"MCP_GUARD_FAILPOINT": point}) as witness:
        assert (await submit(witness, 8, 3)).status == 0
    with witnessing(directory, ONE.key) as witness:
        assert witness.key == key
        known = 8 if point == "witness.remembered" else 3
        assert (await submit(witness, 8, 0)).body == f"{known}\n".encode()
        assert (await submit(witness, 8, known, FORK)).status in (409, 422)
        assert (await submit(witness, 8, known)).status == 200


@pytest.mark.holds("cli:no-sdk")
def test_it_needs_neither_a_home_nor_the_sdk(tmp_path: Path) -> None:
    probe = "import sys, mcp_guard.server.witness, mcp_guard.cli.witness; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, timeout=60, check=False).returncode == 0
