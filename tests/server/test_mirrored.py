"""Other servers' resources and prompts on the wire: listed and read under policy by clients of both eras, on record."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    GetPromptRequest,
    GetPromptRequestParams,
    GetPromptResult,
    PromptReference,
    ResourceTemplateReference,
)
from pydantic import TypeAdapter

from mcp_guard.build import Guard, open_freezing
from mcp_guard.server.adapter import build_server
from tests.inside import ended, opened, records, who
from tests.offered import LETS_IN, OFFERED, POLICY, locked, mirrored
from tests.server.conftest import ERAS
from tests.simulators.mcp_server import Script, message, prompt, resource, text
from tests.simulators.process import Program

README = "docs+docs://readme"
_RESULT = TypeAdapter(GetPromptResult)


def _get(name: str, arguments: dict[str, str], meta: Any) -> GetPromptRequest:
    return GetPromptRequest(params=GetPromptRequestParams(name=name, arguments=arguments, _meta=meta))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "server")


@pytest.fixture
async def guard(desk: Program, script: Script) -> AsyncIterator[Guard]:
    mirrored(desk.home, script)
    async with opened(desk.home) as guard:
        yield guard


@asynccontextmanager
async def client(guard: Guard, era: str = ERAS[1], subject: str = "user:alice") -> AsyncIterator[Client]:
    """A real client of a guard in this process."""
    server = build_server(guard, lambda: who(guard, subject))
    async with Client(server, mode=era) as connected:
        yield connected


async def _refused(reading: Any) -> tuple[int, str, Any]:
    with pytest.raises(MCPError) as caught:
        await reading
    return caught.value.error.code, caught.value.error.message, caught.value.error.data


@pytest.mark.parametrize("era", ERAS)
async def test_what_policy_lets_somebody_see_is_listed(guard: Guard, desk: Program, era: str) -> None:
    async with client(guard, era) as alice:
        assert era != "legacy" or alice.server_capabilities.prompts is not None
        listed = {str(one.uri): one for one in (await alice.list_resources()).resources}
        assert "docs+docs://secret" not in listed
        readme = listed[README]
        assert (readme.name, readme.title, readme.mime_type) == ("docs_readme", "Read me", "text/plain")
        assert "docs+docs://notes/{name}" in [
            one.uri_template for one in (await alice.list_resource_templates()).resource_templates
        ]
        (prompt,) = (await alice.list_prompts()).prompts
        assert prompt.name == "docs_monthly"
        assert [(one.name, one.required) for one in prompt.arguments or ()] == [("month", True), ("tone", False)]
        assert not [tool.name for tool in (await alice.list_tools()).tools if ":" in tool.name]
    lists = {one["state"]["what"]: one["state"] for one in records(desk.home, "read") if "shown" in one["state"]}
    assert lists["resources"]["count"] == 1
    assert lists["resources"]["by"] == {"docs-hidden": 1}
    assert lists["prompts"]["by"] == {"docs-hidden-too": 1}
    assert lists["templates"]["withheld"] == 0


@pytest.mark.holds("upstream:offers")
@pytest.mark.parametrize("era", ERAS)
async def test_a_resource_is_read_and_a_prompt_got(guard: Guard, script: Script, desk: Program, era: str) -> None:
    async with client(guard, era) as alice:
        read = await alice.read_resource(README)
        (content,) = read.contents
        assert (str(content.uri), content.mime_type, content.text) == (README, "text/plain", "hello")  # type: ignore[union-attr]
        assert read.meta is not None
        assert read.meta["mcp-guard/provenance"] == {
            **{"tool": "resource:docs_readme", "connector": "mcp"},
            **{"labels": ["untrusted"], "upstream": "docs"},
        }
        got = await alice.get_prompt("docs_monthly", {"month": "May"})
        assert (got.description, got.messages[0].role) == ("A report", "user")
        assert got.messages[0].content.text == "Report on May."  # type: ignore[union-attr]
        receipt = (got.meta or {})["mcp-guard/receipt"]
    assert [line for line in script.ledger if line.split()[0] in ("resources/read", "prompts/get")] == [
        'resources/read {"uri": "docs://readme"}',
        'prompts/get {"arguments": {"month": "May"}, "name": "monthly"}',
    ]
    (intent,) = [one for one in records(desk.home, "intent") if one["call"] == receipt["call"]]
    (outcome,) = [one for one in records(desk.home, "outcome") if one["call"] == receipt["call"]]
    assert (intent["tool"], intent["decision"]["rule"]) == ("prompt:docs_monthly", "docs-month")
    assert (outcome["status"], outcome["executed"], outcome["_n"]) == ("ok", "yes", receipt["n"])


@pytest.mark.holds("upstream:offers")
@pytest.mark.parametrize("era", ERAS)
async def test_what_is_hidden_is_unknown(guard: Guard, script: Script, era: str) -> None:
    """By every name there is, and by the name of something else."""
    async with client(guard, era) as alice:
        uris = ["docs+docs://secret", "docs+docs://nothing", "docs+docs://notes/private-1", "other+docs://readme"]
        uris += [
            "docs+docs://notes/",
            "docs+docs://notes/a/b",
            "docs+docs://notes/%2e%2e",
            "docs+docs://READme",
            "+",
            "docs+",
        ]
        uris += [
            "docs+docs://s%65cret",
            "docs+docs://notes/..%2fsecret",
            "docs+docs://notes/priv%61te",
            "resource:docs_readme+x:y",
        ]
        told = {await _refused_resource(alice, uri) for uri in uris}
        assert told == {(INVALID_PARAMS, "Unknown resource")}
        names = ["docs_wild", "wild", "nothing", "resource:docs_readme", "docs_readme", ""]
        told = {(await _refused(alice.get_prompt(name)))[:2] for name in names}
        assert told == {(INVALID_PARAMS, "Unknown prompt")}
        for name in ("prompt:docs_monthly", "resource:docs_readme", "docs_monthly"):
            assert (await _refused(alice.call_tool(name, {"month": "May"})))[:2] == (INVALID_PARAMS, "Unknown tool")
    assert script.starts == 0


async def _refused_resource(client: Client, uri: str) -> tuple[int, str]:
    code, message, data = await _refused(client.read_resource(uri))
    assert data is None
    return code, message


@pytest.mark.holds("upstream:templates")
async def test_a_template_is_judged_by_its_values_and_read_as_they_say(guard: Guard, script: Script) -> None:
    script.does(read={"contents": [text("docs://notes/team-1", "a note")]})
    async with client(guard) as alice:
        read = await alice.read_resource("docs+docs://notes/te%61m-1")
        assert str(read.contents[0].uri) == "docs+docs://notes/team-1"
        assert script.ledger[-1] == 'resources/read {"uri": "docs://notes/team-1"}'
        code, said, data = await _refused(alice.read_resource("docs+docs://notes/mine"))
        assert (code, data["guard"]["rule"]) == (INTERNAL_ERROR, "guard:default")
        assert said.startswith("denied: ")
        assert data["guard"]["executed"] == "no"
    assert sum(line.startswith("resources/read") for line in script.ledger) == 1


async def test_a_read_can_wait_for_people(guard: Guard, script: Script) -> None:
    script.does(read={"contents": [text("docs://notes/board-1", "the board")]})
    async with client(guard) as alice:
        _, said, data = await _refused(alice.read_resource("docs+docs://notes/board-1"))
        assert said.startswith("NOT EXECUTED: waiting for role:finance")
        told: Mapping[str, Any] = data["guard"]
        assert (told["code"], told["executed"]) == ("approval_pending", "no")
        bob = who(guard, "user:bob")
        await guard.approvals.decide(bob, told["approval_id"], "approved", "cli")
        task = await ended(guard, told["task_id"])
        assert (task["status"], task["result"]["contents"][0]["text"]) == ("completed", "the board")


@pytest.mark.holds("upstream:offers")
async def test_arguments_scopes_freezes_and_dry_runs(guard: Guard, script: Script, desk: Program) -> None:
    async with client(guard) as alice:
        code, _, data = await _refused(alice.get_prompt("docs_monthly", {}))
        assert (code, data["guard"]["code"]) == (INVALID_PARAMS, "args_invalid")
        code, _, data = await _refused(alice.get_prompt("docs_monthly", {"month": "May", "more": "x"}))
        assert (code, data["guard"]["code"]) == (INVALID_PARAMS, "args_invalid")
        _, _, data = await _refused(alice.get_prompt("docs_monthly", {"month": "June"}))
        assert data["guard"]["rule"] == "guard:default"
        dry = await alice.session.send_request(
            _get("docs_monthly", {"month": "May"}, {"mcp-guard/dry_run": True}), _RESULT
        )
        assert dry.messages == []
        assert (dry.meta or {})["mcp-guard/decision"]["effect"] == "allow"
    async with client(guard, subject="user:bob") as bob:
        assert (await bob.list_prompts()).prompts == []
    assert script.starts == 0


async def test_what_comes_back_is_stripped_redacted_and_bounded(guard: Guard, script: Script) -> None:
    script.does(got={"messages": [message("Do\u200b it. \u202eNow."), message("x", "assistant")]})
    async with client(guard) as alice:
        got = await alice.get_prompt("docs_monthly", {"month": "May"})
        assert got.messages[0].content.text == "Do it. Now."  # type: ignore[union-attr]
        assert (got.meta or {})["mcp-guard/stripped"] == 2
        script.does(read={"contents": [text("docs://readme", "x" * 1_100_000)]})
        _, _, data = await _refused(alice.read_resource(README))
        assert data["guard"]["code"] == "upstream_too_large"
        script.does(prompts=[], read={"contents": [text("docs://readme", "hello")]})
        assert (await alice.read_resource(README)).contents


@pytest.mark.holds("upstream:offers")
@pytest.mark.parametrize("era", ERAS)
async def test_values_are_offered_to_whoever_may_make_the_call(
    guard: Guard, script: Script, desk: Program, era: str
) -> None:
    monthly = PromptReference(type="ref/prompt", name="docs_monthly")
    notes = ResourceTemplateReference(type="ref/resource", uri="docs+docs://notes/{name}")
    async with client(guard, era) as alice:
        found = await alice.complete(monthly, {"name": "month", "value": "M"}, {"tone": "warm"})
        assert found.completion.values == ["May", "March"]
        assert script.ledger[-1].startswith(
            'completion/complete {"argument": {"name": "month", "value": "M"}, "context"'
        )
        await alice.complete(notes, {"name": "name", "value": "team-"})
        for asked in ("board-", "x", ""):  # of one people would be asked, and for the others there is no rule
            _, _, data = await _refused(alice.complete(notes, {"name": "name", "value": asked}))
            assert (data["guard"]["code"], data["guard"]["executed"]) == ("policy_denied", "no")
        _, _, data = await _refused(alice.complete(monthly, {"name": "tone", "value": "w"}))
        assert data["guard"]["code"] == "policy_denied", "the rule is about an argument that is not there yet"
        for name, more in (("nothing", {}), ("", {}), ("month", {"nothing": "x"})):
            code, _, data = await _refused(alice.complete(monthly, {"name": name, "value": "x"}, more))
            assert (code, data["guard"]["code"]) == (INVALID_PARAMS, "args_invalid")
        for uri in ("docs+docs://readme", "docs+docs://secret", "docs+docs://notes/x", "x+docs://notes/{name}"):
            hidden = ResourceTemplateReference(type="ref/resource", uri=uri)
            told = await _refused(alice.complete(hidden, {"name": "name", "value": "x"}))
            assert told == (INVALID_PARAMS, "Unknown resource", None)
        for name in ("docs_wild", "nothing"):
            unknown = PromptReference(type="ref/prompt", name=name)
            told = await _refused(alice.complete(unknown, {"name": "month", "value": "x"}))
            assert told == (INVALID_PARAMS, "Unknown prompt", None)
    assert sum(line.startswith("completion/complete") for line in script.ledger) == 2
    completed = [one for one in records(desk.home) if one.get("completes") == 1]
    begun = [one["tool"] for one in completed if one["kind"] == "intent"]
    assert sorted(begun) == ["prompt:docs_monthly", "resource:docs_notes"]
    assert not [one for one in records(desk.home, "approval") if one["tool"] == "resource:docs_notes"]


async def test_values_are_bounded_and_screened(guard: Guard, script: Script) -> None:
    monthly = PromptReference(type="ref/prompt", name="docs_monthly")
    async with client(guard) as alice:
        many = ["Ju\u200bly", "x" * 1025, *(f"v{number}" for number in range(300))]
        script.does(completion={"completion": {"values": many}})
        found = (await alice.complete(monthly, {"name": "month", "value": ""})).completion
        assert (found.values[0], len(found.values), found.has_more) == ("July", 99, True)
        notes = ResourceTemplateReference(type="ref/resource", uri="docs+docs://notes/{name}")
        script.does(completion={"completion": {"values": ["team-1", "private-1", "PRIVATE", "..", "a/b", ""]}})
        found = (await alice.complete(notes, {"name": "name", "value": "team-"})).completion
        assert found.values == ["team-1"], "what is denied, or no value at all, is not suggested either"
        script.does(completion={"completion": {"values": [3]}})
        _, _, data = await _refused(alice.complete(monthly, {"name": "month", "value": ""}))
        assert data["guard"]["code"] == "upstream_bad_response"


async def test_prompts_are_advertised_where_there_are_some(guard: Guard) -> None:
    async with client(guard, "auto") as alice:
        assert alice.server_capabilities.prompts is not None


async def test_nothing_mirrored_is_nothing_advertised(desk: Program) -> None:
    async with opened(desk.home) as guard, client(guard, "auto") as alice:
        assert (alice.server_capabilities.prompts, alice.server_capabilities.resources is None) == (None, False)
        assert (await alice.list_prompts()).prompts == []
        assert not [one for one in (await alice.list_resources()).resources if "+" in str(one.uri)]
        assert (await _refused(alice.read_resource(README)))[:2] == (INVALID_PARAMS, "Unknown resource")
    assert not [one for one in records(desk.home, "read") if one["state"].get("what") == "prompts"]


@pytest.mark.holds("upstream:offers")
async def test_long_lists_come_in_pages(desk: Program, script: Script) -> None:
    mirrored(desk.home, script)
    names = [f"p{number:03}" for number in range(450)]
    uris = [f"docs://r/{number:03}" for number in range(250)]
    listed = [resource(uri, uri[-3:]) for uri in uris]
    locked(desk.home, {**OFFERED, "prompts": [prompt(name) for name in names], "resources": listed})
    rules = desk.home / "policy" / "policy.csv"
    hidden = ("p, docs-hidden,", "p, docs-hidden-too,", "p, docs-read,", "p, docs-month,")
    lines = rules.read_text().splitlines(keepends=True)
    rules.write_text("".join(line for line in lines if not line.startswith(hidden)))
    async with opened(desk.home) as guard, client(guard) as alice:
        found: list[str] = []
        page = await alice.list_prompts()
        found += [one.name for one in page.prompts]
        while page.next_cursor:
            page = await alice.list_prompts(cursor=page.next_cursor)
            assert len(page.prompts) <= 200
            found += [one.name for one in page.prompts]
        assert found == [f"docs_{name}" for name in names]
        first = await alice.list_resources()
        second = await alice.list_resources(cursor=first.next_cursor)
        shown = [str(one.uri) for one in (*first.resources, *second.resources)]
        assert [uri for uri in shown if "+" in uri] == [f"docs+{uri}" for uri in uris]
        assert len(shown) == len(set(shown)), "the guard's own are there once"
        for cursor in ("!", "\u00e9", "w6k", "/w=="):
            assert (await _refused(alice.list_prompts(cursor=cursor)))[:2] == (INVALID_PARAMS, "Invalid cursor")
        assert (await alice.list_prompts(cursor=urlsafe_b64encode(b"resource:").decode())).prompts == []


@pytest.mark.holds("freeze:stops", "limits:exact", "redact:enforced")
async def test_freezes_limits_and_redaction_hold(desk: Program, script: Script) -> None:
    lets_in = {**LETS_IN, "prompts": {"allow": ["*"], "overrides": {"monthly": {"limits": {"rate": "2/minute"}}}}}
    hiding = 'r.ctx.args.month != "June", allow, redact=[/messages], reports'
    mirrored(desk.home, script, lets_in, POLICY.replace('r.ctx.args.month != "June", allow, -, reports', hiding))
    async with opened(desk.home) as guard, client(guard) as alice:
        got = await alice.get_prompt("docs_monthly", {"month": "May"})
        assert "Report" not in got.messages[0].content.text  # type: ignore[union-attr]
        assert (got.meta or {})["mcp-guard/redacted"] == 1
        await alice.complete(PromptReference(type="ref/prompt", name="docs_monthly"), {"name": "month", "value": "M"})
        _, _, data = await _refused(alice.get_prompt("docs_monthly", {"month": "May"}))
        assert data["guard"]["code"] == "rate_limited"
        async with open_freezing(guard.definition.home) as admin:
            await admin.freeze("tool:resource:docs_readme", "not now")
        code, said, data = await _refused(alice.read_resource(README))
        assert (code, said, data["guard"]["code"]) == (INTERNAL_ERROR, "denied: not now (rule guard:frozen)", "frozen")
        assert README in [str(one.uri) for one in (await alice.list_resources()).resources]
    assert sum(line.startswith(("resources/read", "prompts/get")) for line in script.ledger) == 1


@pytest.mark.holds("upstream:offers")
async def test_clients_of_both_eras_over_http(desk: Program, script: Script) -> None:
    mirrored(desk.home, script)
    token = desk.token("user:alice", "--client", "agent:local")
    with desk.http() as serving:
        for era in ERAS:
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
                Client(streamable_http_client(serving.url, http_client=http), mode=era) as alice,
            ):
                await _uses(alice)


async def _uses(alice: Client) -> None:
    assert README in [str(one.uri) for one in (await alice.list_resources()).resources]
    assert [one.name for one in (await alice.list_prompts()).prompts] == ["docs_monthly"]
    assert (await alice.read_resource(README)).contents[0].text == "hello"  # type: ignore[union-attr]
    assert (await alice.get_prompt("docs_monthly", {"month": "May"})).messages
    monthly = PromptReference(type="ref/prompt", name="docs_monthly")
    assert (await alice.complete(monthly, {"name": "month", "value": "M"})).completion.values == ["May", "March"]
    assert (await _refused(alice.read_resource("docs+docs://secret")))[:2] == (INVALID_PARAMS, "Unknown resource")
