"""What the operator's and the agent's own questions look like on the wire: freezes, dry runs, permissions, lists."""

import pytest
from mcp.shared.exceptions import MCPError

from tests.server.conftest import ERAS, Connect, Desk


@pytest.mark.holds("freeze:stops", "freeze:every-process", "freeze:reads")
@pytest.mark.parametrize("era", ERAS)
async def test_a_freeze_reaches_a_serving_process_at_once(era: str, connect: Connect, served: Desk) -> None:
    async with connect("http", era, "bob") as client:
        before = [tool.name for tool in (await client.list_tools()).tools]
        served.program.run("freeze", "--subject", "user:bob", "--reason", "laptop stolen")
        try:
            stopped = await client.call_tool("orders_get", {"order_id": "ORD-1001"})
            assert stopped.is_error
            assert isinstance(stopped.structured_content, dict)
            assert stopped.structured_content["guard"]["code"] == "frozen"
            assert stopped.content[0].text == "denied: laptop stolen (rule guard:frozen)"  # type: ignore[union-attr]
            assert [tool.name for tool in (await client.list_tools()).tools] == before
            with pytest.raises(MCPError, match="laptop stolen") as caught:
                await client.read_resource("audit://records")
            assert caught.value.error.data == {"code": "frozen", "rule": "guard:frozen"}
            with pytest.raises(MCPError) as unknown:
                await client.call_tool("customers_delete", {})
            assert (unknown.value.code, unknown.value.message) == (-32602, "Unknown tool")
        finally:
            served.program.run("unfreeze", "--subject", "user:bob")
        assert not (await client.call_tool("orders_get", {"order_id": "ORD-1001"})).is_error
