import pytest

from mcp_guard.connect.addresses import Denied
from mcp_guard.connect.message import parse_origin


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "authority"),
    [
        ("https://api.example", "https", "api.example", 443, "api.example"),
        ("HTTP://API.Example:8080", "http", "api.example", 8080, "api.example:8080"),
        ("https://api.example:443", "https", "api.example", 443, "api.example"),
        ("http://[2606:4700::0:1]", "http", "2606:4700::1", 80, "[2606:4700::1]"),
        ("http://10.0.0.1:81", "http", "10.0.0.1", 81, "10.0.0.1:81"),
    ],
)
def test_an_origin_is_read(text: str, scheme: str, host: str, port: int, authority: str) -> None:
    origin = parse_origin(text)
    assert (origin.scheme, origin.host, origin.port, origin.authority) == (scheme, host, port, authority)


@pytest.mark.holds("egress:one-spelling")
@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.example",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379",
        "//a.example",
        "a.example",
        "https:a.example",
        "https://",
        "https://user@a.example",
        "https://user:password@a.example",
        "https://a.example@127.0.0.1",
        "https://a.example\\@127.0.0.1",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:٨٠",
        "https://a.example:80:80",
        "https://a.example:",
        "https://::1",
        "https://[::1",
        "https://a.example\r\nX: 1",
        "https://a.example/x",
        "http://2130706433",
    ],
)
def test_anything_else_is_denied(text: str) -> None:
    with pytest.raises(Denied) as denied:
        parse_origin(text)
    assert "password" not in str(denied.value)
