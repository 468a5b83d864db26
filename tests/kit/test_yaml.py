"""YAML from people: plain values, exact positions, nothing clever."""

import pytest

from mcp_guard.kit import yaml
from mcp_guard.model.errors import Invalid


def _problem(text: bytes) -> tuple[str, int, int]:
    with pytest.raises(Invalid) as caught:
        yaml.parse(text, "t.yaml")
    [problem] = caught.value.problems
    return problem.code, problem.line, problem.column


@pytest.mark.holds("manifest:yaml-positions")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a: 1\na: 2\n", ("duplicate_key", 2, 1)),
        (b"a: [1\n", ("yaml", 2, 1)),
        (b"a: b\n---\nc: d\n", ("yaml", 2, 1)),
        (b"\x00\x01", ("yaml", 1, 1)),
        (b"a: 1\nb: x\x00y\n", ("yaml", 2, 5)),
        (b"a: 2020-13-45\n", ("yaml", 1, 1)),
        (b"ok: 1\nx: \xff\n", ("yaml", 2, 1)),
        (b"a: 1\nb:\n  c: 2020-01-01\n", ("value", 3, 3)),
        (b"a: .inf\n", ("value", 1, 1)),
        (b"1: x\n", ("value", 1, 1)),
        (b"a: !!python/object:os.system x\n", ("value", 1, 1)),
        ("a: x\u202ey\n".encode(), ("hidden_character", 1, 5)),
        ("a: x\nb: \U000e0041\n".encode(), ("hidden_character", 2, 4)),
        (b"a: " + b"[" * 80 + b"]" * 80, ("alias", 1, 1)),
        (b"a: 1\nb: &x [*x]\n", ("alias", 2, 4)),
        (b"a: 1\nb: &x {c: [1, *x]}\n", ("alias", 2, 4)),
        (b"a: &x [&y [*x], *y]\n", ("alias", 1, 4)),
    ],
)
def test_refuses_with_position(text: bytes, expected: tuple[str, int, int]) -> None:
    code, line, column = _problem(text)
    assert (code, line) == expected[:2]
    assert column == expected[2] or code == "alias"


@pytest.mark.holds("manifest:yaml-positions")
def test_aliases_cannot_exhaust_memory() -> None:
    levels = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    assert _problem(b"\n".join(levels))[0] == "yaml"


def test_yaml_1_2_scalars() -> None:
    document = yaml.parse(b"a: on\nb: 12:30\nc: 0o17\nd: true\ne: 1.5\nf: ~\ng: no\n", "t.yaml")
    assert document.value == {"a": "on", "b": "12:30", "c": 15, "d": True, "e": 1.5, "f": None, "g": "no"}


def test_positions_of_values_and_nearest_ancestor() -> None:
    document = yaml.parse(b"tools:\n  - name: x\n    tags: [a,\n      b]\n", "t.yaml")
    assert document.position("/tools/0/name") == (2, 5)
    assert document.position("/tools/0/tags/1") == (4, 7)
    assert document.position("/tools/0/nope/deeper") == (2, 5)
