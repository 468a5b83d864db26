"""A hostile line on stdio gets an error, never silence, and the next good line works."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mcp_guard.server.wire import MAX_MESSAGE_BYTES
from tests.simulators.process import Program
from tests.simulators.raw import call_body

GOOD = call_body("orders_get", {"order_id": "ORD-1001"}, identifier="good")


class Pipe:
    """A client that writes bytes and reads lines."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def read(self) -> dict[str, object]:
        assert self._process.stdout is not None
        document: dict[str, object] = json.loads(self._process.stdout.readline())
        return document

    def ask(self, line: bytes) -> dict[str, object]:
        self.send(line + b"\n")
        return self.read()


@contextmanager
def _opened(program: Program) -> Iterator[Pipe]:
    process = subprocess.Popen(
        program.command("--quiet", "serve", "--stdio"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Pipe(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert process.stdout is not None
        process.stdout.close()


LINES = [
    (b"hello", "not_json"),
    (b'{"a":"\xff"}', "bad_utf8"),
    (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\\ud800"}}', "lone_surrogate"),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}', "duplicate_key"),
    (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', "number_range"),
    (b"[" * 100_000, "too_deep"),
    (b"[" + GOOD + b"]", "batch"),
    (b"x" * (MAX_MESSAGE_BYTES + 1), "too_large"),
    (b'{"a":"' + b"y" * 20_000_000 + b'"}', "too_large"),
    (b'{"jsonrpc":"2.0","id":7,"error":"not an object"}', "envelope"),
    (b"\x00\x00\x00", "not_json"),
]


@pytest.mark.holds("wire:hostile-stdio")
def test_every_bad_line_is_answered_and_the_next_good_one_works(desk: Program) -> None:
    with _opened(desk) as pipe:
        for line, code in LINES:
            answer = pipe.ask(line)
            assert answer["error"]["data"]["code"] == code, line[:80]  # type: ignore[index]
            good = pipe.ask(GOOD)
            assert good["id"] == "good"
            assert good["result"]["isError"] is False  # type: ignore[index]
        pipe.send(b"\n   \n\r\n")  # blank lines are not messages
        assert pipe.ask(GOOD)["id"] == "good"
    page = desk.run("--json", "audit", "query", "--kind", "fault", "--limit", "100").json
    assert {code for _, code in LINES} <= {record["state"]["code"] for record in page["records"]}


def test_output_of_tools_never_reaches_the_wire(desk: Program) -> None:
    (desk.home / "noisy.py").write_text(
        'import os, sys\ndef speak() -> str:\n    print("NOISE")\n    os.write(1, b"NOISE\\n")\n'
        '    return sys.stdin.read() or "nothing to read"\n',
        encoding="utf-8",
    )
    (desk.home / "tool_manifests" / "noisy.yaml").write_text(
        "apiVersion: mcp-guard/v1\nkind: Tools\ntoolset: orders\ntools:\n  - name: noisy\n    description: Prints.\n"
        '    effects: none\n    inputSchema: {type: object, properties: {}}\n    python: {function: "noisy:speak"}\n',
        encoding="utf-8",
    )
    with _opened(desk) as pipe:
        answer = pipe.ask(call_body("noisy", {}, identifier=1))
        assert answer["result"]["structuredContent"] == {"result": "nothing to read"}  # type: ignore[index]


def test_a_request_without_identity_of_its_era_is_told_so(desk: Program) -> None:
    with _opened(desk) as pipe:
        answer = pipe.ask(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
        assert "error" in answer
