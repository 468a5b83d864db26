import subprocess
import sys
from pathlib import Path

import pytest

from mcp_guard.connect.command import CommandConnector
from mcp_guard.connect.factory import Means, connect
from mcp_guard.connect.http import HttpConnector
from mcp_guard.connect.python import PythonConnector
from mcp_guard.connect.sql import SqlConnector
from mcp_guard.model.errors import Invalid
from mcp_guard.model.tool import CommandSpec, ConnectorSpec, ProcessLimits, PythonSpec, SqlSpec
from mcp_guard.secrets.redact import Redactor
from mcp_guard.secrets.references import Resolver
from tests.connect.tools import http, tool


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (http("https://api.example/"), HttpConnector),
        (SqlSpec("sql", "/nowhere.db", True, "SELECT 1", 1), SqlConnector),
        (PythonSpec("python", "nowhere:f"), PythonConnector),
        (CommandSpec("command", "/bin/ls", ("ls",), None, (), (), (), None, 1, ProcessLimits(1)), CommandConnector),
    ],
)
async def test_every_specification_has_its_connector(means: Means, spec: ConnectorSpec, kind: type) -> None:
    assert isinstance(connect(tool(spec), means), kind)


@pytest.mark.parametrize("url", ["http://{host}/", "http://h.example/{", "http://h.example/${secret:key}"])
async def test_a_malformed_template_is_an_error_at_load(means: Means, url: str) -> None:
    with pytest.raises(Invalid) as invalid:
        connect(tool(http(url)), means)
    assert invalid.value.problems[0].code == "template"
    assert "tested" in invalid.value.problems[0].file


async def test_connectors_share_one_client(means: Means) -> None:
    assert means.egress is means.egress


async def test_the_means_end_with_their_block(tmp_path: Path) -> None:
    async with Means.open(tmp_path, Resolver(tmp_path, {}, Redactor()), Redactor()) as opened:
        opened.egress  # noqa: B018 - made by looking at it
    async with Means.open(tmp_path, Resolver(tmp_path, {}, Redactor()), Redactor()):
        pass


def test_the_http_client_is_imported_only_where_a_tool_needs_it() -> None:
    program = "import sys, mcp_guard.connect.factory, mcp_guard.connect.attempts; print('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout.strip() == b"False"
