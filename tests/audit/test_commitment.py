"""A record commits to values it does not hold."""

import hmac
import os
import subprocess
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.audit.commitment import commit, commit_value, commitment_of, matches
from mcp_guard.kit import pointer, strict_json

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc/~", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.holds("audit:commitments")
@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_a_commitment_binds_exactly_its_bytes(data: bytes, other: bytes) -> None:
    made, salt = commit(data)
    assert made["len"] == len(data)
    assert matches(made, salt, data)
    assert matches(made, salt, other) == (data == other)
    assert not matches(made, bytes(32), data)


@pytest.mark.holds("audit:commitments")
@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=5000))
def test_a_commitment_is_the_standard_hmac(data: bytes) -> None:
    made, salt = commit(data)
    assert made["c"] == hmac.new(salt, data, "sha256").hexdigest()


@pytest.mark.holds("audit:commitments")
def test_salts_are_fresh() -> None:
    assert len({commit(b"")[1] for _ in range(1000)}) == 1000


FORK = """
import os
from mcp_guard.audit.commitment import commit
commit(b"")
if child := os.fork():
    os.waitpid(child, 0)  # so that the two do not write into each other's lines
print(*(commit(b"")[1].hex() for _ in range(300)), sep="\\n", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.holds("audit:commitments")
def test_a_child_does_not_use_its_parents_salts_again() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=30, check=True)
    salts = done.stdout.split()
    assert len(salts) == len(set(salts)) == 600


@pytest.mark.holds("audit:commitments")
def test_equal_values_cannot_be_told_from_the_records() -> None:
    assert commit(b"42")[0]["c"] != commit(b"42")[0]["c"]


@pytest.mark.parametrize("made", [None, "x", {}, {"c": 1}, {"c": "ab", "len": 2}])
def test_what_is_no_commitment_matches_nothing(made: object) -> None:
    assert not matches(made, bytes(32), b"{}")


@pytest.mark.holds("audit:commitments")
@settings(deadline=None, max_examples=60)
@given(values)
def test_the_bytes_beside_the_record_are_the_committed_ones(value: object) -> None:
    made, sides = commit_value("args", value)
    ((field, salt, data),) = sides
    assert field == "args"
    assert data == strict_json.dumps(value)
    assert matches(made, salt, data)


@pytest.mark.holds("audit:sensitive-never-kept")
@settings(deadline=None, max_examples=60)
@given(values, st.text(min_size=12, max_size=20))
def test_a_sensitive_part_is_nowhere_in_clear_and_still_checkable(value: object, secret: str) -> None:
    made, (kept, hidden) = commit_value("args", {"other": value, "reason": secret}, ("/reason", "/absent"))
    assert hidden.field == "args/reason"
    assert hidden.value is None
    assert kept.value is not None
    assert matches(made, kept.salt, kept.value)
    shown = orjson.loads(kept.value)
    assert shown["other"] == orjson.loads(strict_json.dumps(value))
    assert list(shown["reason"]) == ["sensitive"]
    assert matches(shown["reason"]["sensitive"], hidden.salt, strict_json.dumps(secret))


@pytest.mark.holds("audit:sensitive-never-kept")
@pytest.mark.parametrize("order", [("/a", "/a/b"), ("/a/b", "/a")])
def test_a_part_inside_a_sensitive_part_goes_with_it(order: tuple[str, str]) -> None:
    _, sides = commit_value("args", {"a": {"b": "inner secret"}}, order)
    assert [side.field for side in sides] == ["args", "args/a"]
    assert b"inner" not in b"".join(side.value or b"" for side in sides)


CANARY = "canary-5521"
shapes = st.recursive(
    st.just(CANARY) | scalars.filter(lambda value: value is not None),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.text("ab/~0", max_size=2), inner, min_size=1)
    ),
    max_leaves=8,
)


def places(value: object, above: tuple[object, ...] = ()) -> list[tuple[str, object]]:
    """Every part of a value, by its pointer."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(pointer.join(above), value), *(found for key, part in parts for found in places(part, (*above, key)))]


@pytest.mark.holds("audit:sensitive-never-kept")
@settings(deadline=None, max_examples=300)
@given(shapes, st.data())
def test_whatever_is_named_is_nowhere_in_clear_and_can_be_checked(value: object, data: st.DataObject) -> None:
    """Pointers to any part, overlapping, absent and into the wrong kind of thing, of values of any shape."""
    parts = dict(places(value))
    named = [where for where, part in parts.items() if part == CANARY]
    further = data.draw(st.lists(st.sampled_from(sorted(parts)), max_size=2))
    beyond = [where + data.draw(st.sampled_from(["/zz", "/0", "/00", "/²", "/-", "/zz/y"])) for where in further]
    order = data.draw(st.permutations([*named, *further, *beyond]))
    made, sides = commit_value("args", value, order)
    assert CANARY.encode() not in b"".join(side.value or b"" for side in sides)
    kept = {side.field: side for side in sides}
    assert len(kept) == len(sides), "every row has a name of its own"
    values = {side.field: side.value for side in sides}
    for field, side in kept.items():
        commitment = commitment_of({"args": made}, values, field)
        shown = side.value if side.value is not None else strict_json.dumps(parts[field.removeprefix("args")])
        assert matches(commitment, side.salt, shown), field


@pytest.mark.holds("audit:sensitive-never-kept")
@pytest.mark.parametrize("sent", ["a secret", ["a secret"], [{"email": "a secret"}], 7_777_777, {"email": "a secret"}])
def test_what_was_sent_in_a_wrong_shape_is_no_less_sensitive(sent: object) -> None:
    _, sides = commit_value("args", {"customer": sent, "other": 1}, ("/customer/email",))
    kept = sides[0].value or b""
    assert b"secret" not in kept
    assert b"7777777" not in kept
    assert orjson.loads(kept)["other"] == 1


@pytest.mark.parametrize("sent", [{}, {"customer": None}, {"customer": {}}, {"customer": {"name": "ann"}}])
def test_where_nothing_sensitive_was_sent_nothing_is_hidden(sent: object) -> None:
    _, sides = commit_value("args", sent, ("/customer/email",))
    assert [side.value for side in sides] == [strict_json.dumps(sent)]


@pytest.mark.holds("audit:sensitive-never-kept")
@pytest.mark.parametrize("where", ["", "/text"])
def test_of_a_value_that_is_sensitive_as_a_whole_only_the_salt_is_kept(where: str) -> None:
    made, sides = commit_value("result", "secret", (where,))
    ((field, salt, value),) = sides
    assert (field, value) == ("result", None)
    assert matches(made, salt, b'"secret"')


def test_array_elements_can_be_sensitive() -> None:
    _, sides = commit_value("args", {"people": ["ann", "bob"]}, ("/people/1",))
    assert orjson.loads(sides[0].value or b"")["people"][0] == "ann"
    assert b"bob" not in (sides[0].value or b"")
    assert pointer.get(orjson.loads(sides[0].value or b""), "/people/1/sensitive/len") == 5
