"""What stands beside a record comes back as it went in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.store.side import pack, unpack
from mcp_guard.store.values import Side

sides = st.lists(
    st.builds(
        Side, st.text(min_size=1, max_size=20), st.binary(min_size=32, max_size=32), st.none() | st.binary(max_size=60)
    ),
    max_size=5,
).map(tuple)


@settings(deadline=None, max_examples=60)
@given(sides)
def test_packing_loses_nothing(fields: tuple[Side, ...]) -> None:
    assert unpack(pack(fields)) == fields


def test_an_empty_value_is_not_an_absent_one() -> None:
    salt = bytes(32)
    assert unpack(pack((Side("a", salt, b""), Side("b", salt, None)))) == (Side("a", salt, b""), Side("b", salt, None))


@settings(deadline=None, max_examples=60)
@given(sides.filter(bool), st.data())
def test_a_cut_row_is_noticed_or_shorter_by_whole_fields(fields: tuple[Side, ...], data: st.DataObject) -> None:
    packed = pack(fields)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    try:
        found = unpack(cut)
    except ValueError:
        return
    assert found == fields[: len(found)]
    assert pack(found).ljust(len(cut), b"\0") == cut, "zeros are where something was erased"


def test_a_salt_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        pack((Side("args", b"short", b"{}"),))
