"""One strict JSON-RPC object a message; everything else gets an error that says why."""

import pytest

from mcp_guard.kit.strict_json import loads
from mcp_guard.server.wire import INVALID_REQUEST, MAX_MESSAGE_BYTES, PARSE_ERROR, WireFault, read_message

GOOD = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        b'{"jsonrpc":"2.0","id":"a","result":{}}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"x"}}',
    ],
)
def test_accepts(data: bytes) -> None:
    assert read_message(data) == loads(data)


@pytest.mark.holds("wire:json-rpc")
@pytest.mark.parametrize(
    ("data", "rpc_code", "code", "identifier"),
    [
        (b"", PARSE_ERROR, "empty", None),
        (b"hello", PARSE_ERROR, "not_json", None),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}', PARSE_ERROR, "duplicate_key", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', PARSE_ERROR, "number_range", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1e999}}', PARSE_ERROR, "number_range", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"\\ud800"}}', PARSE_ERROR, "lone_surrogate", None),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', PARSE_ERROR, "bad_utf8", None),
        (b"[" + GOOD + b"]", INVALID_REQUEST, "batch", None),
        (b"[]", INVALID_REQUEST, "batch", None),
        (b'"x"', INVALID_REQUEST, "not_an_object", None),
        (b"null", INVALID_REQUEST, "not_an_object", None),
        (b'{"id":5,"method":"x"}', INVALID_REQUEST, "version", 5),
        (b'{"jsonrpc":2.0,"id":5,"method":"x"}', INVALID_REQUEST, "version", 5),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', INVALID_REQUEST, "id", None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', INVALID_REQUEST, "id", None),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', INVALID_REQUEST, "id", None),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', INVALID_REQUEST, "id", None),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST, "method", 1),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', INVALID_REQUEST, "method", 1),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST, "method", 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}', INVALID_REQUEST, "params", 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","extra":1}', INVALID_REQUEST, "unknown_member", 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * MAX_MESSAGE_BYTES + b'"}', INVALID_REQUEST, "too_large", None),
    ],
)
def test_refuses(data: bytes, rpc_code: int, code: str, identifier: object) -> None:
    fault = read_message(data)
    assert isinstance(fault, WireFault)
    assert (fault.rpc_code, fault.code, fault.id) == (rpc_code, code, identifier)
    answer = loads(fault.as_bytes())
    assert isinstance(answer, dict)
    assert answer["id"] == identifier


def test_the_error_never_quotes_the_message() -> None:
    fault = read_message(b'{"secret-value": }')
    assert isinstance(fault, WireFault)
    assert b"secret" not in fault.as_bytes()
