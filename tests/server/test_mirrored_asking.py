"""What another server asks during a call, as real clients of both eras over both transports show and answer it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitResult
from ruamel.yaml import YAML

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from tests.inside import records
from tests.mirrored import add_notes
from tests.server.conftest import ERAS, TRANSPORTS, Desk
from tests.simulators.mcp_server import Script
from tests.simulators.process import Program
from tests.simulators.raw import META, exchange, request

SURFACES = [pytest.param(transport, era, id=f"{transport}-{era}") for transport in TRANSPORTS for era in ERAS]
FORMS: dict[str, Any] = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
PROPERTIES = {"name": {"type": "string"}, "text": {"type": "string"}, "city": {"type": "string"}}
WHO = {"message": "Who is it?", "requestedSchema": {"type": "object", "properties": PROPERTIES, "required": ["name"]}}
SAID = {"name": "Alice", "text": "quite private", "city": "somewhere secret", "mcp_guard_send": "yes"}


@dataclass
class Person:
    """Whoever sits at a client: what they were asked, and what they answer."""

    action: str = "accept"
    content: Any = field(default_factory=lambda: dict(SAID))
    asked: list[str] = field(default_factory=list)

    async def __call__(self, _: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        return ElicitResult(action=self.action, content=self.content)  # type: ignore[arg-type]


def _recipe() -> Any:
    """What the entry of a server that may ask says in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "elicitation:" in one]
    return YAML(typ="safe").load(block)["upstreams"][0]["elicitation"]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    return Script(tmp_path_factory.mktemp("server"))


@pytest.fixture(autouse=True)
def _nothing_asked(script: Script) -> None:
    script.does(questions=[], moves=[])


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str, script: Script
) -> Iterator[Desk]:
    home: Path = copy_home(tmp_path_factory.mktemp("asking") / "desk", payments.port)
    seed(home, payments_secret)
    add_notes(home, script, elicitation=_recipe())
    program = Program(home)
    tokens = {name: program.token(f"user:{name}", "--client", "agent:local") for name in ("alice", "carol")}
    with program.http() as serving:
        yield Desk(program, serving, tokens)


@asynccontextmanager
async def _connected(served: Desk, transport: str, era: str, person: Any) -> AsyncIterator[Client]:
    if transport == "stdio":
        command, *arguments = served.program.command("--quiet", "serve", "--stdio")
        way = StdioServerParameters(command=command, args=arguments)
        async with Client(way, mode=era, elicitation_callback=person) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {served.tokens['alice']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
        Client(
            streamable_http_client(served.serving.url, http_client=http), mode=era, elicitation_callback=person
        ) as it,
    ):
        yield it


def _asked(served: Desk) -> Any:
    """What the newest outcome says of questions."""
    return records(served.program.home, "outcome")[-1].get("asked")


@pytest.mark.holds("upstream:asks", "upstream:asks-marked", "upstream:asks-resumed")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_the_person_is_asked_and_the_call_goes_on(transport: str, era: str, served: Desk, script: Script) -> None:
    person, calls = Person(), script.calls
    script.does(questions=[WHO, WHO, WHO])
    async with _connected(served, transport, era, person) as client:
        done = await client.call_tool("notes_say", {"text": "x"})
    assert (done.is_error, done.structured_content) == (False, {"result": "done"})
    assert len(person.asked) == 2
    assert all(message.startswith('The server "notes" asks you this') for message in person.asked)
    accepted = {"action": "accept", "content": {key: SAID[key] for key in PROPERTIES}}
    assert script.heard[-3:] == [accepted, accepted, {"action": "decline"}]
    assert script.calls == calls + 1
    noted = _asked(served)
    assert [(one["as"], one.get("why")) for one in noted] == [("accept", None)] * 2 + [("decline", "too_many")]
    assert all("ms" in one for one in noted[:2])


@pytest.mark.holds("upstream:asks")
@pytest.mark.parametrize(("transport", "era"), SURFACES)
async def test_a_client_that_shows_no_forms_is_not_asked(
    transport: str, era: str, served: Desk, script: Script
) -> None:
    script.does(questions=[WHO])
    async with _connected(served, transport, era, None) as client:
        done = await client.call_tool("notes_say", {"text": "x"})
    assert not done.is_error
    assert script.heard[-1] == {"action": "decline"}
    assert _asked(served) == [{"what": "elicitation/create", "as": "decline", "why": "nobody"}]


@pytest.mark.holds("upstream:asks-others-refused")
@pytest.mark.parametrize("method", ["sampling/createMessage", "roots/list"])
async def test_sampling_and_roots_stay_refused_and_are_on_record(method: str, served: Desk, script: Script) -> None:
    script.does(questions=[{"method": method}])
    async with _connected(served, "http", ERAS[0], Person()) as client:
        await client.call_tool("notes_say", {"text": "x"})
    assert script.told[-1] == "-32601"
    assert _asked(served) == [{"what": method, "as": "refused", "why": "never"}]


@pytest.mark.holds("upstream:asks", "redact:places")
async def test_where_a_rule_hides_something_nobody_is_asked(served: Desk, script: Script) -> None:
    person = Person()
    script.does(questions=[WHO])
    async with _connected(served, "http", ERAS[1], person) as client:
        await client.call_tool("notes_hum", {"text": "x"})
    assert person.asked == []
    assert _asked(served) == [{"what": "elicitation/create", "as": "decline", "why": "redacted"}]


@pytest.mark.holds("upstream:asks")
async def test_answers_are_on_record_as_commitments(served: Desk, script: Script) -> None:
    script.does(questions=[WHO])
    async with _connected(served, "http", ERAS[0], Person()) as client:
        await client.call_tool("notes_sing", {"text": "x"})
    record = records(served.program.home, "outcome")[-1]
    assert record["answers"].keys() == {"c", "len"}
    told = served.program.run("--json", "audit", "show", str(record["_n"]))
    assert told.status == 0, told.err
    assert "Alice" in told.out
    assert "quite private" not in told.out, "what its tool calls sensitive is in no answer either"
    assert "somewhere secret" not in told.out
    erased = served.program.run("audit", "erase", "--call", record["call"], "--reason", "a test")
    assert erased.status == 0, erased.err
    assert "Alice" not in served.program.run("--json", "audit", "show", str(record["_n"])).out
    assert served.program.run("audit", "verify").status == 0


async def _send(served: Desk, who: str, body: dict[str, Any], tool: str = "notes_say") -> dict[str, Any]:
    data = json.dumps(body).encode()
    sent = request(served.serving.port, data, token=served.tokens[who], tool=tool)
    found: dict[str, Any] = (await exchange(served.serving.port, sent)).json
    return found


def _body(text: str, **more: Any) -> dict[str, Any]:
    params = {"name": "notes_say", "arguments": {"text": text}, "_meta": FORMS, **more}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def _answered(asked: dict[str, Any], text: str, said: Any = None) -> dict[str, Any]:
    content = {"action": "accept", "content": SAID} if said is None else said
    return _body(text, requestState=asked["result"]["requestState"], inputResponses={"mirrored": content})


@pytest.mark.holds("upstream:asks-resumed")
async def test_an_answer_that_comes_twice_or_from_others_begins_no_other_call(served: Desk, script: Script) -> None:
    script.does(questions=[WHO])
    calls = script.calls
    asked = await _send(served, "alice", _body("mine"))
    assert asked["result"]["resultType"] == "input_required"
    assert "error" in await _send(served, "carol", _answered(asked, "mine"))
    assert "error" in await _send(served, "alice", _answered(asked, "another"))
    first, second = await asyncio.gather(*(_send(served, "alice", _answered(asked, "mine")) for _ in range(2)))
    done = [one["result"]["structuredContent"] for one in (first, second) if "result" in one]
    assert {"result": "done"} in done
    late = await _send(served, "alice", _answered(asked, "mine"))
    assert late["error"]["data"] == {"reason": "call_over"}
    assert script.calls == calls + 1
    assert script.heard[-1]["action"] == "accept"


@pytest.mark.holds("upstream:asks-resumed", "upstream:asks-answered")
async def test_a_no_goes_to_the_server_and_the_call_goes_on(served: Desk, script: Script) -> None:
    script.does(questions=[WHO])
    asked = await _send(served, "alice", _body("one"))
    declined = {"action": "decline"}
    ended = await _send(served, "alice", _answered(asked, "one", declined))
    assert ended["result"]["structuredContent"] == {"result": "done"}
    assert script.heard[-1] == declined


@pytest.mark.holds("upstream:asks")
async def test_a_dry_run_asks_nobody(served: Desk, script: Script) -> None:
    script.does(questions=[WHO])
    calls = script.calls
    body = _body("x")
    body["params"]["_meta"] = FORMS | {"mcp-guard/dry_run": True}
    told = await _send(served, "alice", body)
    assert told["result"]["structuredContent"]["guard"]["code"] == "dry_run"
    assert script.calls == calls
