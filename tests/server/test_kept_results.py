"""Results that are too large for one answer, over real clients of both eras and on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from mcp_guard.demo import sandbox
from mcp_guard.demo.home import copy_home, seed
from mcp_guard.server.resources import RESULT_TEMPLATE
from tests.large import add_large
from tests.server.conftest import ERAS, Connect, Desk
from tests.simulators.process import Program

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, payments: sandbox.Sandbox, payments_secret: str) -> Iterator[Desk]:
    home: Path = copy_home(tmp_path_factory.mktemp("served") / "desk", payments.port)
    add_large(home)
    seed(home, payments_secret)
    program = Program(home)
    tokens = {
        "alice": program.token("user:alice", "--client", "agent:local"),
        "bob": program.token("user:bob", "--client", "agent:local"),
    }
    with program.http() as serving:
        yield Desk(program, serving, tokens)


async def page_of(client: Client, uri: str) -> dict[str, Any]:
    found = await client.read_resource(uri)
    page: dict[str, Any] = json.loads(found.contents[0].text)  # type: ignore[union-attr]
    return page


async def refused(client: Client, uri: str) -> tuple[int, str, object]:
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    return error.value.error.code, error.value.error.message, error.value.error.data


@pytest.mark.holds("kept:eras")
@pytest.mark.parametrize("era", ERAS)
async def test_a_client_follows_the_link_to_the_end(era: str, connect: Connect) -> None:
    async with connect("http", era) as alice, connect("http", era, "bob") as bob:
        await alice.list_tools()  # so that the client holds the answer to the advertised schema
        answer: Any = await alice.call_tool("large_typed", {"size": 150})
        note, start, link = answer.content
        assert (answer.is_error, note.text.partition(":")[0], link.type) == (False, "NOT COMPLETE", "resource_link")
        assert answer.structured_content["beginning"] == json.loads(start.text)
        templates = await alice.list_resource_templates()
        assert RESULT_TEMPLATE in [template.uri_template for template in templates.resource_templates]
        page = await page_of(alice, str(link.uri))
        text = page["part"]
        while "next" in page:
            page = await page_of(alice, page["next"])
            text += page["part"]
        assert len(text.encode()) == link.size == page["bytes"]
        assert len(json.loads(text)["rows"]) == 1536
        unknown = await refused(alice, "result://" + "0" * 32)
        first = str(link.uri)
        for client, odd in ((bob, first), *((alice, first + more) for more in ("?page=0", "?page=99", "?p=1", "/1"))):
            assert await refused(client, odd) == unknown
