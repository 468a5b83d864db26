"""The chain as specified, byte for byte."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.kit.strict_json import dumps, loads
from mcp_guard.model.chain import Tail, genesis, leaf_hash


@pytest.mark.holds("audit:chain-format")
def test_genesis_and_first_line() -> None:
    start = Tail.start("desk/00")
    assert start.leaf == sha256(b"mcp-guard/audit/v1\ndesk/00\n").hexdigest() == genesis("desk/00")
    line, after = start.seal(b'{"kind":"boot"}', 1_000)
    assert line == b'{"_n":0,"_p":"%s","_t":1000,"kind":"boot"}' % start.leaf.encode()
    assert after == Tail(1, sha256(b"\x00" + line).hexdigest(), 1_000)


bodies = st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.integers(0, 99), min_size=1, max_size=4)


@pytest.mark.holds("audit:chain-format")
@given(st.lists(st.tuples(bodies, st.integers(0, 2**53)), max_size=20))
@settings(deadline=None, max_examples=100)
def test_every_line_links_and_time_only_grows(records: list[tuple[dict[str, int], int]]) -> None:
    tail = Tail.start("desk/00")
    previous_t = 0
    for n, (body, now) in enumerate(records):
        line, after = tail.seal(dumps(body), now)
        parsed = loads(line)
        assert isinstance(parsed, dict)
        assert dumps(parsed) == line, "a sealed line is canonical"
        assert parsed["_n"] == n
        assert parsed["_p"] == tail.leaf
        assert parsed["_t"] > previous_t
        assert after.leaf == leaf_hash(line)
        tail, previous_t = after, parsed["_t"]
