from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.connect.select import selected
from tests.connect.test_render import values

ANSWER = {"data": {"total": 2, "items": [{"id": 1}, {"id": 2}], "next": None}, "a/b": {"~": "odd"}, "": "unnamed"}


def test_a_pointer_gives_its_part() -> None:
    assert selected(ANSWER, "/data/items") == [{"id": 1}, {"id": 2}]
    assert selected(ANSWER, "/data/items/1/id") == 2
    assert selected(ANSWER, "/a~1b/~0") == "odd"
    assert selected(ANSWER, "/") == "unnamed"


def test_a_pointer_that_finds_nothing_gives_null() -> None:
    for where in ("/nothing", "/data/items/2", "/data/items/-1", "/data/items/-", "/data/total/x", "/data/items/1e0"):
        assert selected(ANSWER, where) is None


def test_names_are_left_out_where_nothing_is_there_and_null_stays() -> None:
    select = (("total", "/data/total"), ("next", "/data/next"), ("gone", "/data/gone"), ("all", ""))
    assert selected(ANSWER, select) == {"total": 2, "next": None, "all": ANSWER}


@given(values, st.text(st.sampled_from("/~01abx-"), max_size=8).map(lambda text: "/" + text))
def test_no_answer_and_no_pointer_raise(value: object, where: str) -> None:
    assert selected(value, ()) == value
    found = selected(value, (("x", where),))
    assert found == ({} if found == {} else {"x": selected(value, where)})
