"""The tamper matrix: every attack on a log, over a store and an export, with what somebody may have to hold it against.

Three auditors: one has nothing but the log; one has the log's key and takes the checkpoint that comes with the log,
from the attacker's hands; one kept two checkpoints, the last of them cosigned by a witness. For each the table says
which record is named, or that the attack is invisible and why.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from mcp_guard.audit.statements import Statement, Trust
from mcp_guard.audit.verify import Evidence, Report, verify, verify_signature
from mcp_guard.kit import strict_json
from mcp_guard.model.chain import Tail, leaf_hash
from mcp_guard.model.note import COSIGNATURE, Note
from tests.audit import standalone
from tests.audit.helpers import story
from tests.audit.signing import Signer, checkpoint
from tests.store.helpers import lines, rows

Lines = list[bytes]
END = 12
KEPT = 4
"""The first checkpoint the third auditor kept; where everything behind it was written anew, it bounds what is named."""
NOW = 1_800_000_000
WITNESS = Signer("witness.example/1", 7, COSIGNATURE)


@dataclass(frozen=True)
class Told:
    """A good log, and the key that signs it."""

    path: Path
    origin: str
    log: Lines

    @property
    def signer(self) -> Signer:
        return Signer(self.origin, 1)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    path = tmp_path_factory.mktemp("log") / "guard.db"
    origin = asyncio.run(story(path))
    return Told(path, origin, lines(path))


# --- attacks: the log, and the size and signer of the checkpoint the attacker shows with it ---------------------------


@dataclass(frozen=True)
class Attack:
    """What becomes of the lines, and what each auditor can name: chain alone, with the key, with an anchor.

    `shows` is the log the attacker's checkpoint is of: the honest one (an old checkpoint, which anybody has), or the
    changed one, which takes the log's key. `cut` is the size of it.
    """

    change: Callable[[Lines, str], Lines]
    named: tuple[int | None, int | None, int | None]
    stolen_key: bool = False
    shown: int = END


def edited(line: bytes, **changes: object) -> bytes:
    return strict_json.dumps(orjson.loads(line) | changes)


def rewritten(log: Sequence[bytes], origin: str, back: int = 0) -> Lines:
    """Everything sealed anew with record 5 changed: a chain that holds. `back`: by that many microseconds earlier."""
    tail, found = Tail.start(origin), []
    for n, honest in enumerate(log):
        body = b"{" + honest.split(b",", 3)[3]
        body = body.replace(b"payments", b"payroll_") if n >= 5 else body
        line, tail = tail.seal(body, orjson.loads(honest)["_t"] - back)
        found.append(line)
    return found


def forked(log: Lines, origin: str) -> Lines:
    """Another history from record 8 on, as a server put back to an older copy would write."""
    record = orjson.loads(log[7])
    tail, found = Tail(8, leaf_hash(log[7]), record["_t"]), log[:8]
    for _ in range(5):
        line, tail = tail.seal(b'{"boot":"0123456789abcdef","kind":"fault","state":{},"v":1}', 0)
        found.append(line)
    return found


def clock_set_back(log: Lines, _: str) -> Lines:
    """A further record, linked as it should be, at a time before the last one."""
    body = b'{"_n":%d,"_p":"%s","_t":%d,"boot":"0123456789abcdef","kind":"fault","state":{},"v":1}'
    return [*log, body % (END, leaf_hash(log[-1]).encode(), orjson.loads(log[-1])["_t"] - 1)]


def foreign(log: Lines, _: str) -> Lines:
    return rewritten(log, "another/log")


MATRIX: dict[str, Attack] = {
    # inside the log: the chain alone names the record
    "edit": Attack(lambda log, _: [*log[:5], edited(log[5], tool="other"), *log[6:]], (5, 5, 5)),
    "edit the last": Attack(lambda log, _: [*log[:-1], edited(log[-1], state={"x": "y"})], (None, 0, KEPT)),
    "delete": Attack(lambda log, _: [*log[:5], *log[6:]], (5, 5, 5)),
    "insert": Attack(lambda log, _: [*log[:5], edited(log[5], tool="extra"), *log[5:]], (6, 6, 6)),
    "duplicate": Attack(lambda log, _: [*log[:6], log[5], *log[6:]], (6, 6, 6)),
    "reorder": Attack(lambda log, _: [*log[:5], log[6], log[5], *log[7:]], (5, 5, 5)),
    "renumber": Attack(lambda log, _: [*log[:5], *(edited(x, _n=n) for n, x in enumerate(log[6:], 5))], (5, 5, 5)),
    "clock set back": Attack(clock_set_back, (END, END, END)),
    # needs what is not in the log: with a newer checkpoint of the honest log at hand, also the second auditor sees it
    "cut the tail": Attack(lambda log, _: log[:9], (None, 9, 9)),
    "cut everything": Attack(lambda _, __: [], (None, 0, 0)),
    "rewrite without the key": Attack(rewritten, (None, 0, KEPT)),
    # ... but the attacker shows an older one, or has the key: only what is kept elsewhere tells
    "older copy": Attack(lambda log, _: log[:9], (None, None, 9), shown=9),
    "rewrite with the stolen key": Attack(rewritten, (None, None, KEPT), stolen_key=True),
    "rewrite with the clock set back": Attack(
        lambda log, origin: rewritten(log, origin, back=10**9), (None, None, 0), stolen_key=True
    ),
    "fork": Attack(forked, (None, None, KEPT), stolen_key=True, shown=13),
    "foreign log": Attack(foreign, (None, 0, 0)),
}
AUDITORS = ("chain", "key", "anchor")


def evidence(told: Told, attack: Attack | None, changed: Lines, auditor: str) -> Evidence:
    log = changed if attack and attack.stolen_key else told.log
    shown = checkpoint(log, told.origin, told.signer, attack.shown if attack else END)
    kept = [checkpoint(told.log, told.origin, told.signer, KEPT), checkpoint(told.log, told.origin, told.signer)]
    kept[1] = WITNESS.sign(kept[1], NOW)
    trust = Trust(verify_signature, (told.signer.key,), (WITNESS.key,) if auditor == "anchor" else ())
    return {
        "chain": Evidence(),
        "key": Evidence(statements=(statement(shown),), trust=trust),
        "anchor": Evidence(statements=tuple(map(statement, kept)), trust=trust),
    }[auditor]


def statement(note: Note) -> Statement:
    return Statement.parse(note.format())


def alone(export: Path, evidence: Evidence) -> dict[str, object]:
    """The stand-alone file's verdict on the same evidence."""
    arguments: list[str | Path] = [export]
    for number, shown in enumerate(evidence.statements):
        path = export.with_suffix(f".checkpoint{number}")
        path.write_bytes(shown.note.format())
        arguments += ["--checkpoint", path]
    for key in evidence.trust.keys if evidence.trust else ():
        arguments += ["--key", str(key)]
    for key in evidence.trust.witnesses if evidence.trust else ():
        arguments += ["--witness", str(key)]
    status, found = standalone.run(*arguments)
    assert status == (0 if found["ok"] else 8)
    return found


def assert_named(report: Report, named: int | None) -> None:
    if named is None:
        assert report.ok, report.error
        return
    assert report.error is not None
    assert report.error.n == named, report.error.what
    assert report.error.what
    assert not report.ok
    assert report.records <= named


@pytest.mark.holds("audit:tamper-evident", "audit:needs-anchor", "audit:standalone")
@pytest.mark.parametrize("auditor", AUDITORS)
@pytest.mark.parametrize("name", MATRIX)
def test_an_attack_on_an_export_is_named_or_needs_an_anchor(
    told: Told, tmp_path: Path, name: str, auditor: str
) -> None:
    attack = MATRIX[name]
    changed = attack.change(told.log, told.origin)
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in changed))
    held = evidence(told, attack, changed, auditor)
    report = verify(export, evidence=held)
    named = attack.named[AUDITORS.index(auditor)]
    if name == "edit the last" and auditor == "chain":
        assert report.ok, "nothing behind it tells"
    assert_named(report, named)
    assert alone(export, held) == report.as_dict()


@pytest.mark.holds("audit:tamper-evident", "audit:needs-anchor")
@pytest.mark.parametrize("auditor", AUDITORS)
@pytest.mark.parametrize("name", MATRIX)
async def test_an_attack_on_a_store_is_named_or_needs_an_anchor(
    told: Told, tmp_path: Path, name: str, auditor: str
) -> None:
    attack = MATRIX[name]
    changed = attack.change(told.log, told.origin)
    path = tmp_path / "guard.db"
    await story(path)
    rows(path, "DELETE FROM log")
    rows(
        path, "UPDATE meta SET value = ? WHERE key = 'origin'", "another/log" if name == "foreign log" else told.origin
    )
    for n, line in enumerate(changed):
        rows(path, "INSERT INTO log VALUES (?, ?)", n, line.decode())
    held = evidence(told, attack, changed, auditor)
    assert_named(verify(path, evidence=held), attack.named[AUDITORS.index(auditor)])
    # The checkpoint in the attacker's hands may as well lie in the store.
    if auditor == "key":
        (shown,) = held.statements
        size = shown.checkpoint.size
        rows(path, "INSERT INTO checkpoint (size, note) VALUES (?, ?)", size, shown.note.format().decode())
        inside = verify(path, evidence=replace(held, statements=()))
        assert_named(inside, attack.named[1])


@pytest.mark.holds("audit:needs-anchor", "audit:verify-good")
@pytest.mark.parametrize("auditor", AUDITORS)
def test_the_honest_log_is_good_for_every_auditor(told: Told, tmp_path: Path, auditor: str) -> None:
    export = tmp_path / "log.jsonl"
    export.write_bytes(b"".join(line + b"\n" for line in told.log))
    held = evidence(told, None, told.log, auditor)
    report = verify(export, deep=True, evidence=held)
    assert report.ok, report.error
    assert report.signed == (0 if auditor == "chain" else END)
    assert report.anchored == (END if auditor == "anchor" else "never")
    assert report.head == leaf_hash(told.log[-1])
    assert alone(export, held) == report.as_dict()


@pytest.mark.holds("audit:verify-deep")
async def test_swapped_values_are_named_by_the_deep_check_of_a_store(tmp_path: Path) -> None:
    """Values are not in an export; beside a store's records they answer to commitments in the chain."""
    path = tmp_path / "guard.db"
    await story(path)
    (one,), (two,) = rows(path, "SELECT fields FROM side WHERE n IN (1, 3) ORDER BY n")
    rows(path, "UPDATE side SET fields = ? WHERE n = 1", two)
    rows(path, "UPDATE side SET fields = ? WHERE n = 3", one)
    assert_named(verify(path, deep=True), 1)
