"""What a server asks during a call: put to the person of that very call where the home lets it, else declined."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.connect.connector import Connector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.failure import Failed
from mcp_guard.connect.mcp.connector import McpConnector
from mcp_guard.connect.mcp.forms import SEND
from mcp_guard.kit import strict_json
from mcp_guard.model.back_channel import Asked, BackChannel, Form, Questions, Said
from mcp_guard.model.tool import Elicitation, McpSpec, Upstream, definition
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import invocation, tool, until
from tests.simulators.mcp_server import Script
from tests.simulators.mcp_server import tool as listed

SECRET = "upstream-s3cret"
WHO: Mapping[str, Any] = {
    "message": "Who?",
    "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
}
ALICE: Mapping[str, object] = {"name": "Alice", SEND: "yes"}


@dataclass
class Person:
    """Whoever sits at the client of a call."""

    says: Said | None = field(default_factory=lambda: Said("accept", ALICE))
    asked: list[Form] = field(default_factory=list)
    waits: asyncio.Event | None = None
    left: int = 0

    async def __call__(self, form: Form) -> Said | None:
        self.asked.append(form)
        if self.waits is not None:
            try:
                await self.waits.wait()
            except asyncio.CancelledError:
                self.left += 1
                raise
        return self.says


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "server")


@pytest.fixture
async def say(tmp_path: Path, script: Script) -> AsyncIterator[Callable[..., Connector]]:
    """`say(wait=…, most=…)`: the connector of a server that may ask; `say(allowed=False)` of one that may not."""
    redactor = Redactor()
    resolver = Resolver(tmp_path, {"MCP_GUARD_SECRET_KEY": SECRET}, redactor)
    async with Means.open(tmp_path, resolver, redactor) as means:

        def connected(wait: float = 10.0, most: int = 3, *, allowed: bool = True) -> Connector:
            variables = (("TOKEN", "${secret:key}"),)
            upstream = Upstream("notes", tuple(script.argv), variables, "", (), (), 20.0, 65_536)
            upstream = replace(upstream, elicitation=Elicitation(wait, most) if allowed else None)
            return connect(tool(McpSpec("mcp", upstream, "say", strict_json.digest(definition(listed("say"))))), means)

        yield connected


async def _call(
    connector: Connector, person: Person | None, seconds: float = 20, questions: Questions | None = None
) -> list[Asked]:
    """A call, and what is noted of its questions."""
    noted = Questions() if questions is None else questions
    back = BackChannel(ask=person, questions=noted)
    await connector.invoke(replace(invocation({}, timeout=seconds), back=back))
    return noted.entries


def _under_way(connector: Connector) -> int:
    assert isinstance(connector, McpConnector)
    session = connector._taken
    assert session is not None
    assert session._held is not None
    return len(session._held.listeners._asking)


@pytest.mark.holds("upstream:asks")
async def test_an_answer_goes_to_the_server_without_the_field_of_ours(
    say: Callable[..., Connector], script: Script
) -> None:
    person = Person()
    script.does(questions=[WHO])
    (noted,) = await _call(say(), person)
    assert script.heard == [{"action": "accept", "content": {"name": "Alice"}}]
    assert (noted.how, noted.why, noted.answer) == ("accept", "", {"name": "Alice"})
    assert noted.ms is not None
    assert "> Who?" in person.asked[0].message
    assert script.said_of_clients["elicitation"] == {"form": {}}


@pytest.mark.holds("upstream:asks", "upstream:hostile")
async def test_where_the_home_says_nothing_nobody_is_asked(say: Callable[..., Connector], script: Script) -> None:
    person = Person()
    script.does(questions=[WHO])
    assert await _call(say(allowed=False), person) == [Asked("elicitation/create", "refused", "not_allowed")]
    assert (person.asked, script.told) == ([], ["-32601"])
    assert "elicitation" not in script.said_of_clients


@pytest.mark.holds("upstream:asks")
async def test_where_nobody_waits_it_is_declined(say: Callable[..., Connector], script: Script) -> None:
    script.does(questions=[WHO, WHO])
    assert await _call(say(), None) == [Asked("elicitation/create", "decline", "nobody", times=2)]
    assert script.heard == [{"action": "decline"}] * 2


@pytest.mark.holds("upstream:asks-answered")
@pytest.mark.parametrize(
    ("said", "action", "why"),
    [
        (Said("decline", {}), "decline", ""),
        (Said("cancel", {}), "cancel", ""),
        (None, "decline", "nobody"),
        (Said("accept", {}), "cancel", "unconfirmed"),
        (Said("accept", {"name": "Alice"}), "cancel", "unconfirmed"),
        (Said("accept", {"name": "Alice", SEND: "no"}), "decline", ""),
        (Said("accept", {"name": 7, SEND: "yes"}), "cancel", "answer"),
        (Said("accept", {SEND: "yes"}), "cancel", "answer"),
        (Said("accept", {**ALICE, "more": "x"}), "cancel", "answer"),
        (Said("accept", {"name": f"it is {SECRET}", SEND: "yes"}), "cancel", "secret"),
        (Said("accept", {"name": "ghp_" + "a1" * 18, SEND: "yes"}), "cancel", "secret"),
    ],
)
async def test_anything_but_a_whole_answer_sends_nothing(
    say: Callable[..., Connector], script: Script, said: Said | None, action: str, why: str
) -> None:
    script.does(questions=[WHO])
    (noted,) = await _call(say(), Person(said))
    assert script.heard == [{"action": action}]
    assert (noted.how, noted.why, noted.answer) == (action, why, None)


@pytest.mark.holds("upstream:asks-no-secrets", "upstream:asks-flat")
@pytest.mark.parametrize(
    ("question", "why"),
    [
        ({"message": "Your password?", "requestedSchema": WHO["requestedSchema"]}, "sensitive"),
        ({"message": "x", "requestedSchema": {"type": "object", "properties": {"x": {"type": "object"}}}}, "schema"),
        ({"message": "x", "mode": "url", "url": "https://evil.example/", "elicitationId": "1"}, "mode"),
        ({}, "schema"),
    ],
)
async def test_what_may_not_be_asked_is_declined(
    say: Callable[..., Connector], script: Script, question: Mapping[str, Any], why: str
) -> None:
    person = Person()
    script.does(questions=[question])
    assert await _call(say(), person) == [Asked("elicitation/create", "decline", why)]
    assert (person.asked, script.heard) == ([], [{"action": "decline"}])


@pytest.mark.holds("upstream:asks-bounded")
async def test_a_call_asks_so_often_and_no_more_over_all_its_attempts(
    say: Callable[..., Connector], script: Script
) -> None:
    person, noted, connector = Person(), Questions(), say(most=2)
    script.does(questions=[WHO] * 5)
    await _call(connector, person, questions=noted)
    await _call(connector, person, questions=noted)
    assert len(person.asked) == 2
    assert [(one.how, one.times) for one in noted.entries] == [("accept", 1), ("accept", 1), ("decline", 8)]


@pytest.mark.holds("upstream:asks-bounded", "upstream:hostile")
async def test_what_is_refused_is_looked_at_so_often(say: Callable[..., Connector], script: Script) -> None:
    person = Person()
    script.does(questions=[{**WHO, "message": "Your password?"}] * 30 + [WHO])
    noted = await _call(say(), person)
    assert [(one.why, one.times) for one in noted] == [("sensitive", 20), ("too_many", 11)]
    assert person.asked == []


@pytest.mark.holds("upstream:asks-bounded", "upstream:hostile")
async def test_one_that_floods_with_questions_has_few_of_them_put_one_at_a_time(
    say: Callable[..., Connector], script: Script
) -> None:
    person = Person()
    script.does(behaviour="talk", unasked={"method": "elicitation/create", "params": WHO}, asks=True, times=300)
    noted = await _call(say(), person)
    await until(lambda: len(script.told) == 300)
    assert len(person.asked) <= 3
    assert sum(one.times for one in noted) >= 290


@pytest.mark.holds("upstream:asks-bounded")
async def test_a_person_who_does_not_answer_is_waited_for_so_long(
    say: Callable[..., Connector], script: Script
) -> None:
    person = Person(waits=asyncio.Event())
    script.does(questions=[WHO])
    (noted,) = await _call(say(wait=0.2), person)
    assert (noted.how, noted.why, person.left) == ("cancel", "timeout", 1)
    assert script.heard == [{"action": "cancel"}]


@pytest.mark.holds("upstream:asks-bounded")
async def test_what_a_person_takes_is_no_time_of_the_server_s(say: Callable[..., Connector], script: Script) -> None:
    connector = say()
    await _call(connector, None)
    person = Person(waits=asyncio.Event())
    script.does(questions=[WHO])
    calling = asyncio.create_task(_call(connector, person, seconds=1.5))
    await until(lambda: len(person.asked) == 1)
    await asyncio.sleep(1.7)
    assert person.waits is not None
    person.waits.set()
    (noted,) = await calling
    assert noted.how == "accept"
    script.does(questions=[], behaviour="hang")
    with pytest.raises(Failed) as failed:
        await _call(connector, person, seconds=0.3)
    assert failed.value.code == "upstream_timeout"


@pytest.mark.holds("upstream:asks")
async def test_a_question_ends_with_its_call(say: Callable[..., Connector], script: Script) -> None:
    person = Person(waits=asyncio.Event())
    script.does(questions=[{**WHO, "silently": True}])  # it answers the call without waiting
    noted = Questions()
    await _call(say(), person, questions=noted)
    await until(lambda: len(script.told) == 1)
    assert script.heard[0]["action"] in ("cancel", "decline")
    assert [one.how for one in noted.entries if one.answer is not None] == []


@pytest.mark.holds("upstream:asks")
async def test_a_question_that_is_open_when_its_call_is_cut_off_is_noted_before_the_outcome(
    say: Callable[..., Connector], script: Script
) -> None:
    person, noted = Person(waits=asyncio.Event()), Questions()
    script.does(questions=[WHO])
    calling = asyncio.create_task(_call(say(), person, questions=noted))
    await until(lambda: len(person.asked) == 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert [(one.how, one.why, one.answer) for one in noted.entries] == [("cancel", "late", None)]
    await until(lambda: person.left == 1)
    assert len(noted.entries) == 1


@pytest.mark.holds("upstream:asks", "upstream:hostile")
async def test_after_the_answer_nobody_is_asked(say: Callable[..., Connector], script: Script) -> None:
    person = Person()
    script.does(questions_late=[WHO])
    await _call(say(), person)
    await until(lambda: len(script.told) == 1)
    assert (person.asked, script.told) == ([], ["-32601"])


@pytest.mark.holds("upstream:asks")
async def test_a_question_that_could_belong_to_two_calls_is_put_to_nobody(
    say: Callable[..., Connector], script: Script
) -> None:
    connector, first, second = say(), Person(), Person()
    script.does(questions=[{**WHO, "wait": "both"}])
    calling = [asyncio.create_task(_call(connector, first))]
    await until(lambda: script.calls == 1)
    calling.append(asyncio.create_task(_call(connector, second)))
    await until(lambda: _under_way(connector) == 2)
    script.go("both")
    await calling[0]
    await calling[1]
    assert (first.asked, len(second.asked)) == ([], 1), "the other is alone by then"
    assert script.heard[0] == {"action": "decline"}


@pytest.mark.holds("upstream:asks")
async def test_a_question_of_a_call_that_was_given_up_is_put_to_nobody_else(
    say: Callable[..., Connector], script: Script
) -> None:
    connector, person = say(), Person()
    await _call(connector, None)
    script.does(questions=[{**WHO, "wait": "given-up"}])
    with pytest.raises(Failed):
        await _call(connector, None, seconds=0.3)
    script.does(questions=[])
    script.go("given-up")
    await _call(connector, person)
    assert person.asked == []
    assert script.starts == 2, "what it asked could be about either, so it was begun anew"


@pytest.mark.holds("upstream:asks-others-refused")
@pytest.mark.parametrize("method", ["sampling/createMessage", "roots/list", "x/y"])
async def test_nothing_else_is_offered_to_a_server_that_may_ask(
    say: Callable[..., Connector], script: Script, method: str
) -> None:
    script.does(questions=[{"method": method}, {"method": method}])
    noted = await _call(say(), Person())
    what = "other" if method == "x/y" else method
    assert noted == [Asked(what, "refused", "never", times=2)]
    assert script.told == ["-32601"] * 2
