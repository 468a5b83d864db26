"""Records as rows: what each says of itself."""

import pytest

from tests.cli.conftest import Guard


@pytest.mark.holds("audit:tail-says-what")
def test_a_record_of_no_call_says_what_happened(guard: Guard) -> None:
    assert guard("call", "orders_get", "order_id=ORD-1001").status == 0
    assert guard("freeze", "--subject", "user:bob", "--reason", "a stolen laptop").status == 0
    shown = [row.split() for row in guard("audit", "tail").out.splitlines()]
    (frozen,) = [row for row in shown if row[-1:] == ["frozen"]]
    assert frozen[3] == "config"
    (call,) = [row for row in shown if "orders_get" in row]
    assert call[-1] == "ok", "and a call how it ended"
