"""The attacks on a log: each is caught and named, or needs a head known from elsewhere and is caught with it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from mcp_guard.audit import line_file
from mcp_guard.audit import verify as verify_module
from mcp_guard.audit.verify import Evidence, Known, Report
from mcp_guard.audit.verify import verify as verify_log
from mcp_guard.kit import strict_json
from mcp_guard.model.chain import Tail, genesis, leaf_hash
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store import scan
from mcp_guard.store.side import pack, unpack
from mcp_guard.store.store import Store
from tests.audit.helpers import sealed, story
from tests.store.helpers import lines, rows

Lines = list[bytes]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Lines]:
    """A finished log of 12 records: its origin and lines."""
    import asyncio

    path = tmp_path_factory.mktemp("log") / "guard.db"
    origin = asyncio.run(story(path))
    return origin, lines(path)


@pytest.fixture(params=[1, 5, 1024], autouse=True)
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where chunks and pieces end must make no difference."""
    monkeypatch.setattr(scan, "CHUNK", request.param)
    monkeypatch.setattr(verify_module, "_MEMORY_BLOCK", request.param)
    monkeypatch.setattr(verify_module, "PIECE", request.param * 2)
    monkeypatch.setattr(line_file, "READ", request.param * 100)
    monkeypatch.setattr(line_file, "PIECE", request.param * 500)


def verify(
    source: Path | Lines, *, deep: bool = False, origin: str | None = None, expect: Known | None = None
) -> Report:
    return verify_log(source, deep=deep, evidence=Evidence(origin, known=expect))


def edited(line: bytes, **changes: object) -> bytes:
    return strict_json.dumps(orjson.loads(line) | changes)


# --- good logs ------------------------------------------------------------------------------------------------------


@pytest.mark.holds("audit:verify-good")
@pytest.mark.parametrize("deep", [False, True])
def test_a_good_log_is_good_as_export_and_as_lines(tmp_path: Path, told: tuple[str, Lines], deep: bool) -> None:
    origin, log = told
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"\n".join(log) + b"\n")
    report = verify(export, deep=deep, origin=origin)
    assert report == Report(True, origin, 12, leaf_hash(log[-1]))
    assert verify(log, deep=deep, origin=origin) == report
    assert verify(log, deep=deep).ok
    export.write_bytes(b"\n".join(log))
    assert verify(export).records == 12


@pytest.mark.holds("audit:verify-good")
async def test_a_store_is_verified_in_place_also_while_it_is_written(path: Path) -> None:
    origin = await story(path)
    before = path.read_bytes()
    for deep in (False, True):
        report = verify(path, deep=deep)
        assert report.as_dict() == {
            "ok": True,
            "origin": origin,
            "records": 12,
            "signed": 0,
            "anchored": "never",
            "head": leaf_hash(lines(path)[-1]),
        }
    assert path.read_bytes() == before


@pytest.mark.holds("audit:verify-good")
async def test_an_empty_log_is_good(path: Path, tmp_path: Path) -> None:
    store = Store.open(path, "test")
    assert verify(path, deep=True) == Report(True, store.origin, 0, genesis(store.origin))
    await store.aclose()
    (tmp_path / "empty.jsonl").touch()
    assert verify(tmp_path / "empty.jsonl").records == 0
    assert not verify(path, expect=Known(0, "ab" * 32)).ok


@pytest.mark.parametrize("name", ["absent.db", "."])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreUnavailable):
        verify(tmp_path / name)


# --- attacks on the lines -------------------------------------------------------------------------------------------

ATTACKS: dict[str, tuple[Callable[[Lines], Lines], int]] = {
    "edit the first": (lambda log: [edited(log[0], state={"version": "2"}), *log[1:]], 0),
    "edit one": (lambda log: [*log[:5], edited(log[5], tool="other"), *log[6:]], 5),
    "edit a bit of white space": (lambda log: [*log[:5], log[5].replace(b'"v":1', b'"v": 1'), *log[6:]], 5),
    "edit its time": (lambda log: [*log[:5], edited(log[5], _t=orjson.loads(log[5])["_t"] + 1), *log[6:]], 5),
    "edit its link": (lambda log: [*log[:5], edited(log[5], _p="00" * 32), *log[6:]], 5),
    "delete the first": (lambda log: log[1:], 0),
    "delete one": (lambda log: [*log[:5], *log[6:]], 5),
    "delete many": (lambda log: [*log[:5], *log[9:]], 5),
    "insert one": (lambda log: [*log[:5], edited(log[5], tool="extra"), *log[5:]], 6),
    "insert at the front": (lambda log: [edited(log[0], _p="f" * 64), *log], 0),
    "duplicate one": (lambda log: [*log[:6], log[5], *log[6:]], 6),
    "append a copy": (lambda log: [*log, log[-1]], 12),
    "append a forgery": (lambda log: [*log, edited(log[-1], _n=12)], 11),
    "reorder two": (lambda log: [*log[:5], log[6], log[5], *log[7:]], 5),
    "reverse": (lambda log: log[::-1], 0),
    "renumber": (lambda log: [*log[:5], *(edited(x, _n=n) for n, x in enumerate(log[6:], 5))], 5),
    "not JSON": (lambda log: [*log[:5], b"not json", *log[6:]], 5),
    "an empty line": (lambda log: [*log[:5], b"", *log[5:]], 5),
    "binary": (lambda log: [*log[:5], b"\x00\xff" * 300, *log[6:]], 5),
    "huge number": (lambda log: [*log[:5], log[5].replace(b'"_n":5', b'"_n":' + b"5" * 5000), *log[6:]], 5),
    "a time that is no number": (lambda log: [*log[:5], _retimed(log, b"1_79000000000000")], 5),
    "a time of another length": (lambda log: [*log[:5], _retimed(log, b"17900000000000000")], 5),
    "a negative time": (lambda log: [*log[:5], _retimed(log, b"-179000000000000")], 5),
    "the same time again": (lambda log: [*log[:5], _retimed(log, b"%d" % orjson.loads(log[4])["_t"])], 5),
    "an earlier time": (lambda log: [*log[:5], _retimed(log, b"1000000000000000")], 5),
}


def _retimed(log: Lines, time: bytes) -> bytes:
    """Record 5 at another time, linked as it should be."""
    return b'{"_n":5,"_p":"%s","_t":%s,"kind":"fault"}' % (leaf_hash(log[4]).encode(), time)


@pytest.mark.holds("audit:tamper-evident")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_change_is_caught_and_the_record_named(told: tuple[str, Lines], attack: str) -> None:
    origin, log = told
    change, n = ATTACKS[attack]
    for deep in (False, True):
        report = verify(change(log), origin=origin, deep=deep)
        assert report.error is not None
        assert report.error.n == n, report.error.what
        assert report.error.what
        assert report.records == n
        assert not report.ok


@pytest.mark.holds("audit:tamper-evident")
def test_every_single_change_is_caught(told: tuple[str, Lines]) -> None:
    origin, log = told
    for n in range(len(log)):
        for place in range(0, len(log[n]), 37):
            damaged = bytearray(log[n])
            damaged[place] ^= 1
            known = Known(11, leaf_hash(log[-1]))
            error = verify([*log[:n], bytes(damaged), *log[n + 1 :]], origin=origin, expect=known).error
            assert error is not None
            # Where the last link does not fit, nothing behind it tells which of the two records changed.
            assert error.n == n or (n == 11 and error.n == 10), (n, place, error.what)


@pytest.mark.holds("audit:tamper-evident")
def test_a_foreign_log_is_caught_where_the_origin_is_known(told: tuple[str, Lines]) -> None:
    _, log = told
    report = verify(log, origin="another/origin")
    assert report.error is not None
    assert report.error.n == 0
    assert "another log" in report.error.what


# --- what a chain alone cannot see ----------------------------------------------------------------------------------


def forged(log: Lines, origin: str) -> Lines:
    bodies = [b"{" + line.split(b",", 3)[3] for line in log]
    bodies[5] = bodies[5].replace(b"payments", b"payroll_")
    return sealed(bodies, origin)


@pytest.mark.holds("audit:needs-anchor")
@pytest.mark.parametrize(
    ("attack", "n"),
    [
        (lambda log, _: log[:-1], 11),
        (lambda log, _: log[:4], 4),
        (lambda log, _: [], 0),
        (lambda log, origin: [*log[:-1], *sealed([b'{"kind":"fault"}'], origin)], 11),
        (lambda log, _: [*log[:-1], edited(log[-1], state={"forged": "yes"})], 11),
    ],
    ids=["cut one", "cut to an older copy", "cut all", "another end", "edit the last"],
)
def test_a_cut_or_changed_end_needs_a_known_head(
    told: tuple[str, Lines], attack: Callable[[Lines, str], Lines], n: int
) -> None:
    origin, log = told
    changed = attack(log, origin)
    known = Known(11, leaf_hash(log[-1]))
    report = verify(changed, origin=origin, expect=known)
    assert report.error is not None
    assert report.error.n == n
    assert verify(log, origin=origin, expect=known).ok


@pytest.mark.holds("audit:needs-anchor")
def test_a_whole_rewrite_needs_a_known_record(told: tuple[str, Lines]) -> None:
    origin, log = told
    rewritten = [line.replace(b'"_t":', b'"_t":179000000000000') for line in forged(log, origin)]
    tail, rewritten = Tail.start(origin), []
    for body in (b"{" + line.split(b",", 3)[3] for line in log):
        line, tail = tail.seal(body.replace(b"payments", b"payroll_"), 1_790_000_000_000_000)
        rewritten.append(line)
    assert verify(rewritten, origin=origin).ok, "the chain holds: it was made to"
    for n in (5, 11):
        report = verify(rewritten, origin=origin, expect=Known(n, leaf_hash(log[n])))
        assert report.error is not None
        assert report.error.n == n


# --- what only the deep check sees ----------------------------------------------------------------------------------

STATE = b'{"boot":"0123456789abcdef","kind":"fault","state":{},"v":1}'
INTENT = b'{"actor":{},"boot":"0123456789abcdef","call":"c","decision":{},"kind":"intent","tool":"t","v":1}'
OUTCOME = b'{"boot":"0123456789abcdef","call":"c","executed":"yes","kind":"outcome","of":%d,"status":"ok","us":1,"v":1}'
FORMS = {
    "unknown kind": ([STATE, STATE.replace(b"fault", b"gossip")], 1),
    "kind that is no string": ([STATE, STATE.replace(b'"fault"', b"[1]")], 1),
    "unknown version": ([STATE, STATE.replace(b'"v":1', b'"v":2')], 1),
    "white space": ([STATE, STATE.replace(b":1}", b": 1}")], 1),
    "unsorted": ([STATE, b'{"v":1,"kind":"fault","state":{},"boot":"0123456789abcdef"}'], 1),
    "duplicate key": ([STATE, STATE.replace(b'"v":1}', b'"v":1,"v":1}')], 1),
    "no boot": ([STATE, STATE.replace(b'"boot":"0123456789abcdef",', b"")], 1),
    "no call": ([INTENT.replace(b'"call":"c",', b"")], 0),
    "no actor": ([OUTCOME.replace(b'"of":%d,', b"")], 0),
    "outcome of nothing": ([OUTCOME % 0], 0),
    "outcome of a later one": ([OUTCOME % 1, INTENT], 0),
    "outcome of no intent": ([STATE, OUTCOME % 0], 1),
    "two outcomes": ([INTENT, OUTCOME % 0, OUTCOME % 0], 2),
    "outcome of a text": ([INTENT, (OUTCOME % 0).replace(b'"of":0', b'"of":"0"')], 1),
    "outcome of a list": ([INTENT, (OUTCOME % 0).replace(b'"of":0', b'"of":[0]')], 1),
}


@pytest.mark.holds("audit:verify-deep")
@pytest.mark.parametrize("form", FORMS)
def test_a_malformed_record_is_named_even_if_the_chain_holds(form: str) -> None:
    bodies, n = FORMS[form]
    tail, log = Tail.start("o"), []
    for body in bodies:
        line, tail = tail.seal(body, 1_790_000_000_000_000)
        log.append(line)
    assert verify(log, origin="o").ok
    report = verify(log, origin="o", deep=True)
    assert report.error is not None
    assert report.error.n == n


def swap(path: Path) -> int:
    """Give two calls each other's values."""
    (one,), (two,) = rows(path, "SELECT fields FROM side WHERE n IN (1, 3) ORDER BY n")
    rows(path, "UPDATE side SET fields = ? WHERE n = 1", two)
    rows(path, "UPDATE side SET fields = ? WHERE n = 3", one)
    return 1


def change(path: Path) -> int:
    ((packed,),) = rows(path, "SELECT fields FROM side WHERE n = 3")
    assert isinstance(packed, bytes)
    sides = [side._replace(value=(side.value or b"").replace(b"12.5", b"99.9") or None) for side in unpack(packed)]
    rows(path, "UPDATE side SET fields = ? WHERE n = 3", pack(sides))
    return 3


def invent(path: Path) -> int:
    (named,) = rows(path, "SELECT fields FROM side WHERE n = 1")
    rows(path, "INSERT INTO side VALUES (0, ?)", named[0])
    return 0


def garble(path: Path) -> int:
    rows(path, "UPDATE side SET fields = x'00ff' WHERE n = 4")
    return 4


def reveal(path: Path) -> int:
    """Claim that a sensitive value was something else."""
    ((packed,),) = rows(path, "SELECT fields FROM side WHERE n = 1")
    assert isinstance(packed, bytes)
    sides = [side._replace(value=b'"forged"') if side.field == "args/reason" else side for side in unpack(packed)]
    rows(path, "UPDATE side SET fields = ? WHERE n = 1", pack(sides))
    return 1


@pytest.mark.holds("audit:verify-deep")
@pytest.mark.parametrize("attack", [swap, change, invent, garble, reveal])
async def test_a_value_that_is_not_the_committed_one_is_named(path: Path, attack: Callable[[Path], int]) -> None:
    await story(path)
    n = attack(path)
    assert verify(path).ok
    report = verify(path, deep=True)
    assert report.error is not None
    assert report.error.n == n


@pytest.mark.holds("audit:erasable")
async def test_an_erased_value_leaves_a_log_that_verifies(path: Path) -> None:
    await story(path)
    rows(path, "DELETE FROM side WHERE n = 1")
    assert verify(path, deep=True).ok


# --- attacks on the store's rows ------------------------------------------------------------------------------------


@pytest.mark.holds("audit:tamper-evident")
@pytest.mark.parametrize(
    ("sql", "n"),
    [
        ("UPDATE log SET line = replace(line, 'payments', 'payroll_') WHERE n = 5", 5),
        ("DELETE FROM log WHERE n = 5", 5),
        ("DELETE FROM log WHERE n = 0", 0),
        ("UPDATE log SET n = 100 WHERE n = 5", 5),
        ("UPDATE log SET n = n + 1 WHERE n = 11", 11),
        ("INSERT INTO log SELECT n + 12, line FROM log WHERE n = 0", 12),
        ("INSERT INTO log SELECT -1, line FROM log WHERE n = 0", 0),
        ("UPDATE log SET line = (SELECT line FROM log l WHERE l.n = 6) WHERE n = 5", 5),
        ("UPDATE meta SET value = 'other/origin' WHERE key = 'origin'", 0),
    ],
)
async def test_a_changed_row_is_caught_and_named(path: Path, sql: str, n: int) -> None:
    await story(path)
    rows(path, "DROP TRIGGER log_lines_never_change")
    rows(path, sql)
    report = verify(path)
    if "log SET line" in sql or "-1" not in sql:
        assert report.error is not None
        assert report.error.n == n


def test_the_leaf_is_the_hash_anybody_can_compute(told: tuple[str, Lines]) -> None:
    _, log = told
    assert verify(log).head == hashlib.sha256(b"\x00" + log[-1]).hexdigest()
