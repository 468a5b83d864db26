"""An MCP server that does what it is told, well or badly, as a program of plain Python.

    python -m tests.simulators.mcp_server DIRECTORY

`DIRECTORY/script.json` says what it offers and how it behaves, read anew for every message; `DIRECTORY/ledger` has a
line for every start and every call that reached it. Speaks the handshake era (2025-11-25) over stdio.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WAITING: list[str] = []
OBJECT: Mapping[str, object] = {"type": "object", "properties": {"text": {"type": "string"}}}


def tool(name: str, description: str = "Says it.", **more: object) -> dict[str, object]:
    return {"name": name, "description": description, "inputSchema": OBJECT, **more}


def resource(uri: str, name: str, **more: object) -> dict[str, object]:
    return {"uri": uri, "name": name, **more}


def template(text: str, name: str, **more: object) -> dict[str, object]:
    return {"uriTemplate": text, "name": name, **more}


def prompt(name: str, *arguments: str, **more: object) -> dict[str, object]:
    """Its first argument is required."""
    said = [{"name": one, "required": one == arguments[0]} for one in arguments]
    return {"name": name, "description": "Asks for it.", "arguments": said, **more}


def text(uri: str, words: str, kind: str | None = "text/plain") -> dict[str, object]:
    """One content of a resource."""
    return {"uri": uri, "text": words, **({"mimeType": kind} if kind else {})}


def message(words: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "content": {"type": "text", "text": words}}


class Script:
    """The test's side: what the server is to do, and what reached it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ledger_file = directory / "ledger"
        self.does(tools=[tool("say")])

    @property
    def argv(self) -> list[str]:
        return [sys.executable, str(Path(__file__)), str(self.directory)]

    def does(self, **what: object) -> None:
        """Replace what is said; the keys are those of `_answer`."""
        before = json.loads(self._file.read_text()) if self._file.exists() else {}
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps({**before, **what}))
        draft.replace(self._file)

    @property
    def ledger(self) -> Sequence[str]:
        return self.ledger_file.read_text().splitlines() if self.ledger_file.exists() else []

    @property
    def starts(self) -> int:
        return sum(line.startswith("start ") for line in self.ledger)

    @property
    def calls(self) -> int:
        return sum(line.startswith("call ") for line in self.ledger)

    @property
    def process(self) -> int:
        """The id of the process that was started last."""
        return int([line for line in self.ledger if line.startswith("start ")][-1].split()[1])

    @property
    def lists(self) -> int:
        """How often its tools were asked for."""
        return sum(line == "list" for line in self.ledger)

    @property
    def left(self) -> Sequence[int]:
        """Processes it left behind: one in its group, one in a group of its own."""
        return [int(line.split()[1]) for line in self.ledger if line.startswith("left ")]

    @property
    def tokens(self) -> Sequence[str | None]:
        """The progress tokens of calls whose progress it tells."""
        return [json.loads(line.split(" ", 1)[1]) for line in self.ledger if line.startswith("token ")]

    def go(self, name: str) -> None:
        """Let it pass a move that waits for this."""
        (self.directory / name).touch()

    @property
    def told(self) -> Sequence[str]:
        """What its own questions were answered with."""
        return [line.split()[2] for line in self.ledger if line.startswith("told ")]

    @property
    def heard(self) -> Sequence[Any]:
        """The results its questions came back with; nothing for an error."""
        return [json.loads(line.split(" ", 3)[3]) for line in self.ledger if line.startswith("told ")]

    @property
    def said_of_clients(self) -> Any:
        """The capabilities it was told of."""
        return json.loads([line for line in self.ledger if line.startswith("client ")][-1].split(" ", 1)[1])

    @property
    def _file(self) -> Path:
        return self.directory / "script.json"


def _note(directory: Path, line: str) -> None:
    with (directory / "ledger").open("a") as ledger:
        ledger.write(line + "\n")


def _answer(asked: Mapping[str, Any], script: Mapping[str, Any], directory: Path) -> object:
    method = asked["method"]
    if method == "initialize":
        _note(directory, f"client {json.dumps(asked['params']['capabilities'])}")
        return {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": script.get("capabilities", {"tools": {}}),
            "serverInfo": {"name": "simulated", "version": "1"},
        }
    if method == "tools/list":
        _note(directory, "list")
        return _page(script, asked)
    if method in _LISTS:
        _note(directory, method)
        key = _LISTS[method]
        return {key: script.get(key, [])}
    if method in _ASKS:
        params = asked["params"]
        _note(directory, f"{method} {json.dumps({key: params[key] for key in sorted(params) if key != '_meta'})}")
        _behave(script.get("behaviour", ""), script, directory)
        return script.get(_ASKS[method])
    if method != "tools/call":
        return None
    _note(directory, f"call {asked['params']['name']} {json.dumps(asked['params'].get('arguments'))}")
    _behave(script.get("behaviour", ""), script, directory)
    _tell_progress(script.get("moves", []), asked, directory)
    for number, question in enumerate(script.get("questions", [])):
        _ask(f"asks-{asked['id']}-{number}", question, directory)
    return script.get("result", {"content": [{"type": "text", "text": "done"}]})


_LISTS = {
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
_ASKS = {"resources/read": "read", "prompts/get": "got", "completion/complete": "completion"}
"""What is answered with what the script says under a key, as it is."""


def _page(script: Mapping[str, Any], asked: Mapping[str, Any]) -> object:
    if script.get("behaviour") == "endless":
        page = int((asked.get("params") or {}).get("cursor") or 0)
        return {"tools": [tool(f"tool{page}")], "nextCursor": str(page + 1)}
    return {"tools": script["tools"]}


def _tell_progress(moves: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], directory: Path) -> None:
    """Every one of `moves` is a notification under the call's own token, where it says nothing else; `wait` names a
    file to wait for first. Without a token they are sent all the same, under one that was guessed."""
    token = asked["params"].get("_meta", {}).get("progressToken")
    if moves:
        _note(directory, f"token {json.dumps(token)}")
    for move in moves:
        while "wait" in move and not (directory / move["wait"]).exists():
            time.sleep(0.002)
        params = {"progressToken": 1 if token is None else token, **move}
        _say({"method": "notifications/progress", "params": {key: params[key] for key in params if key != "wait"}})


def _ask(identifier: str, question: Mapping[str, Any], directory: Path) -> None:
    """Ask and wait for what comes back; `wait` names a file to wait for first, `silently` waits for nothing."""
    while "wait" in question and not (directory / question["wait"]).exists():
        time.sleep(0.002)
    said = {key: question[key] for key in question if key not in ("wait", "silently", "method")}
    _say({"id": identifier, "method": question.get("method", "elicitation/create"), "params": said})
    while "silently" not in question:
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        if json.loads(line).get("id") == identifier:
            _hear(json.loads(line), directory)
            return
        _WAITING.append(line)


def _hear(said: Mapping[str, Any], directory: Path) -> None:
    _note(directory, f"told {said['id']} {said.get('error', {}).get('code', 'fine')} {json.dumps(said.get('result'))}")


def _say(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def _behave(behaviour: str, script: Mapping[str, Any], directory: Path) -> None:
    if behaviour == "hang":
        time.sleep(600)
    elif behaviour == "die":
        os._exit(3)
    elif behaviour == "flood":
        sys.stdout.write("x" * script["bytes"] + "\n")
        sys.stdout.flush()
    elif behaviour == "garbage":
        sys.stdout.write("this is not JSON\n")
        sys.stdout.flush()
    elif behaviour == "whisper":
        sys.stderr.write(f"{script['words']}\n" * script.get("times", 1))
        sys.stderr.flush()
    elif behaviour == "talk":
        for number in range(script["times"]):
            _say({**script["unasked"], **({"id": f"own-{number}"} if script.get("asks") else {})})
    elif behaviour == "leave":
        for own_group in (False, True):
            waits = [sys.executable, "-c", "import time; time.sleep(600)"]
            child = subprocess.Popen(waits, start_new_session=own_group)
            _note(directory, f"left {child.pid}")


def main(directory: Path) -> None:
    _note(directory, f"start {os.getpid()} {json.dumps(sorted(os.environ))}")
    while line := _WAITING.pop(0) if _WAITING else sys.stdin.readline():
        script = json.loads((directory / "script.json").read_text())
        asked = json.loads(line)
        if "method" not in asked:
            _hear(asked, directory)
            continue
        if script.get("behaviour") == "mute":
            continue
        if "id" not in asked:
            continue
        result = _answer(asked, script, directory)
        body = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        if asked["method"] in ("tools/call", *_ASKS) and "error" in script:
            body = {"error": script["error"]}
        _say({"id": asked["id"], **body})
        if asked["method"] == "tools/call":
            _tell_progress(script.get("late", []), asked, directory)
            for number, question in enumerate(script.get("questions_late", [])):
                _ask(f"late-{asked['id']}-{number}", question, directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
