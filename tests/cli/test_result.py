"""`mcp-guard result`: all of a result that `call` printed the beginning of."""

import json

import pytest

from tests.cli.conftest import Guard
from tests.large import add_large
from tests.simulators.process import Program


@pytest.mark.holds("kept:command-line")
def test_call_says_how_all_of_a_result_is_read(guard: Guard, desk: Program) -> None:
    add_large(desk.home)
    ran = guard("call", "large_rows", "size=150")
    assert ran.status == 0
    assert json.loads(ran.out)["rows"]
    assert "not complete" in ran.err
    identifier = ran.err.split("`mcp-guard result ")[1].split("`")[0]
    whole = guard("result", identifier)
    assert len(json.loads(whole.out)["rows"]) == 1536
    page = guard("--json", "result", f"result://{identifier}", "--page", "2").json
    assert page["part"] in whole.out
    assert (page["page"], page["bytes"]) == (2, len(whole.out.encode()) - 1)
    other, none = guard("result", identifier, "--as", "user:bob"), guard("result", "0" * 32)
    assert (other.status, other.out, other.err) == (none.status, none.out, none.err)
    assert (other.status, other.out) == (5, "")
    assert guard("result", "x").status == 2


@pytest.mark.holds("kept:answer")
def test_whoever_has_all_of_a_result_can_prove_it(guard: Guard, desk: Program) -> None:
    add_large(desk.home)
    answer = guard("--json", "call", "large_rows", "size=20").json
    n = str(answer["_meta"]["mcp-guard/receipt"]["n"])
    whole = guard("result", answer["structuredContent"]["guard"]["result"]["uri"]).out.removesuffix("\n")
    proved = guard("--json", "audit", "reveal", n, "kept", "--value", whole)
    assert (proved.status, proved.json["matches"]) == (0, True)
    assert guard("audit", "reveal", n, "kept", "--value", whole.replace("ü", "u", 1)).status == 4
