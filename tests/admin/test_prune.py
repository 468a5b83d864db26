"""Pruning: what may go, goes for good; what may not, stays; and the log goes on proving what it was."""

import gzip
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard.admin import prune as prune_module
from mcp_guard.admin.hold import HoldAdmin
from mcp_guard.admin.prune import PruneAdmin, Until
from mcp_guard.admin.signing import SigningAdmin
from mcp_guard.audit.archive import segments
from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.examine import Evidence, Known
from mcp_guard.audit.holds import Holds
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.key_files import KeyFiles, published
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Filters, Query
from mcp_guard.audit.statements import Statement, Trust
from mcp_guard.audit.verify import verify, verify_signature
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken, NotAnchored, OnHold, StoreUnavailable
from mcp_guard.model.note import COSIGNATURE, Note, VerifierKey, parse_note
from mcp_guard.store.store import Store
from mcp_guard.store.values import Entry, Unit
from tests.audit.helpers import OK, facts, person
from tests.audit.signing import Signer
from tests.simulators.clock import FakeClock
from tests.store.helpers import lines, rows
from tests.store.test_erasure import everywhere

WITNESS = Signer("witness.example", 77, COSIGNATURE)
STRANGER = Signer("witness.example", 78, COSIGNATURE)
CANARY = b"the customer asked"
DAY = 24 * 3600 * 1_000_000
NOW = Until(before=4_000_000_000_000_000)


@dataclass
class Home:
    """A store that is signed, and what an operator does with it."""

    store: Store
    journal: Journal
    signing: SigningAdmin
    keys: Path
    clock: FakeClock
    archive: Path

    @property
    def path(self) -> Path:
        return self.store.path

    def admin(self, *witnesses: VerifierKey) -> PruneAdmin:
        return PruneAdmin(self.store, self.journal, Query(self.store), self.trust(*witnesses))

    def trust(self, *witnesses: VerifierKey) -> Trust:
        return Trust(verify_signature, published(self.keys), witnesses or (WITNESS.key,), complete=True)

    def holds(self) -> HoldAdmin:
        return HoldAdmin(Holds(self.store), self.journal, self.clock)

    async def act(self, call: str, name: str = "alice") -> None:
        told = facts(call, person(name))
        await self.journal.outcome(told, OK, await self.journal.intent(told))

    async def fill(self, count: int) -> None:
        """Records of no interest."""
        body = self.journal.entry("fault", {"code": "x", "where": "http", "count": 1})
        futures = [self.store.writer.submit(Unit((body,))) for _ in range(count)]
        for future in futures:
            await future

    async def anchor(self, witness: Signer = WITNESS) -> Note:
        """The log as it is, cosigned by a witness and on record."""
        signed = await self.signing.newest()
        note = witness.sign(parse_note(signed.note), self.clock.now_us() // 1_000_000)
        state = {"what": "acknowledged", "checkpoint": note.format().decode()}
        await self.store.writer.submit(Unit((self.journal.entry("anchor", state),)))
        return note

    def verified(self, archive: Path | None = None, **more: Any) -> Any:
        evidence = Evidence(trust=self.trust(), **more)
        report = verify(self.path, archive=archive, deep=True, evidence=evidence)
        assert report.ok, report.error
        return report


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    clock = FakeClock()
    store = Store.open(tmp_path / "guard.db", "test", clock=clock)
    journal = Journal(store)
    epochs = Epochs(KeyFiles(tmp_path / "keys", store.origin), store.boot, clock, every=1.0, epoch_us=30 * DAY)
    (tmp_path / "keys").mkdir(mode=0o700)
    signing = SigningAdmin(store, epochs)
    await signing.begin()
    yield Home(store, journal, signing, tmp_path / "keys", clock, tmp_path / "archive")
    await journal.aclose()
    await store.aclose()


async def grown(home: Home) -> Home:
    """Six hundred records, some of them calls, and an acknowledgement of all."""
    await home.act("old", "alice")
    await home.fill(400)
    await home.act("young", "bob")
    await home.fill(200)
    await home.anchor()
    return home


def first_row(path: Path) -> object:
    return rows(path, "SELECT min(n) FROM log")[0][0]


@pytest.mark.holds("prune:gone", "prune:verifies", "prune:recorded")
async def test_what_is_old_and_acknowledged_goes(home: Home) -> None:
    await grown(home)
    before = lines(home.path)
    assert everywhere(home.path, CANARY) > 0
    pruned = await home.admin().prune(NOW, home.archive)
    assert (pruned.first, pruned.end) == (0, 512)
    assert lines(home.path)[: len(before) - 512] == before[512:]
    assert rows(home.path, "SELECT count(*) FROM side") == [(0,)]
    assert everywhere(home.path, CANARY) == 0
    (said,) = [json.loads(line) for line in lines(home.path) if b'"kind":"prune"' in line]
    assert said["_n"] == pruned.noted[0]
    assert {name: said["state"][name] for name in ("what", "from", "to", "open")} == {
        "what": "pruned",
        "from": 0,
        "to": 512,
        "open": [],
    }
    report = home.verified()
    assert report.as_dict()["pruned"] == 512
    assert report.records == len(before) + 1
    assert report.anchored > 512


@pytest.mark.holds("prune:archive")
async def test_archive_and_rest_are_the_log(home: Home) -> None:
    await grown(home)
    before = lines(home.path)
    await home.admin().prune(NOW, home.archive)
    (segment,) = segments(home.archive)
    assert list(segment.lines()) == before[:512]
    assert os.name != "posix" or {file.stat().st_mode & 0o077 for file in home.archive.iterdir()} == {0}
    whole = home.verified(home.archive, known=Known(3, leaf_hash(before[3])))
    assert (whole.records, whole.cut) == (len(before) + 1, None)
    assert verify(home.archive, deep=True, evidence=Evidence(origin=home.store.origin)).records == 512
    export = home.path.with_name("rest.jsonl")
    export.write_bytes(b"".join(line + b"\n" for line in lines(home.path)))
    evidence = Evidence(trust=home.trust())
    assert verify(export, deep=True, evidence=evidence).as_dict()["pruned"] == 512
    assert verify(export, archive=home.archive, deep=True, evidence=evidence).as_dict() == whole.as_dict()


@pytest.mark.holds("prune:archive")
async def test_the_same_lines_give_the_same_bytes(home: Home) -> None:
    await grown(home)
    copy = home.archive.with_name("again")
    pruning = home.admin()
    plan = await pruning.plan(NOW)
    cut = pruning._cut(plan)
    one = await pruning._seal(home.archive, plan.first, cut)
    two = await pruning._seal(copy, plan.first, cut)
    assert one == two
    name = str(one["archive"])
    assert (home.archive / name).read_bytes() == (copy / name).read_bytes()
    note = json.loads((home.archive / name.replace(".jsonl.gz", ".json")).read_text())
    assert (note["from"], note["to"], note["sha256"]) == (0, 512, one["sha256"])
    assert note["checkpoint"].startswith(home.store.origin)


@pytest.mark.holds("prune:archive")
@pytest.mark.parametrize("how", ["changed", "cut", "removed", "rubbish"])
async def test_a_changed_archive_is_noticed(how: str, home: Home) -> None:
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    (segment,) = segments(home.archive)
    data = gzip.decompress(segment.path.read_bytes())
    changed = {
        "changed": gzip.compress(data.replace(b"payments_refund", b"payments_nothin", 1)),
        "cut": gzip.compress(b"".join(data.splitlines(keepends=True)[:300])),
        "removed": gzip.compress(b"".join(data.splitlines(keepends=True)[1:])),
        "rubbish": b"rubbish",
    }[how]
    segment.path.write_bytes(changed)
    for source, archive in ((home.path, home.archive), (home.archive, None)):
        report = verify(source, archive=archive, evidence=Evidence(origin=home.store.origin))
        assert report.error is not None
        assert report.error.n == {"changed": 1, "cut": 300, "removed": 0, "rubbish": 0}[how]
    home.verified()


@pytest.mark.holds("prune:anchored")
@pytest.mark.parametrize("attack", ["never", "stranger", "forged", "replayed"])
async def test_without_a_true_acknowledgement_nothing_goes(attack: str, home: Home) -> None:
    if attack == "replayed":
        await home.anchor()
    await home.act("old")
    await home.fill(600)
    if attack == "stranger":
        await home.anchor(STRANGER)
    if attack == "forged":
        note = await home.signing.newest()
        signed = WITNESS.sign(parse_note(note.note), 1)
        bad = Note(signed.text, (signed.signatures[0], replace(signed.signatures[1], value=bytes(72))))
        forged = {"what": "acknowledged", "checkpoint": bad.format().decode()}
        await home.store.writer.submit(Unit((home.journal.entry("anchor", forged),)))
    before = lines(home.path)
    with pytest.raises((NotAnchored, LogBroken)):
        await home.admin().prune(NOW, home.archive)
    assert lines(home.path) == before
    assert not home.archive.exists()


@pytest.mark.holds("prune:anchored")
async def test_nothing_goes_from_a_log_that_does_not_verify(home: Home) -> None:
    await grown(home)
    rows(home.path, "DROP TRIGGER log_lines_never_change")
    rows(home.path, "UPDATE log SET line = replace(line, '\"x\"', '\"y\"') WHERE n = 20")
    with pytest.raises(LogBroken):
        await home.admin().prune(NOW, home.archive)
    assert first_row(home.path) == 0


@pytest.mark.holds("prune:anchored")
async def test_nothing_goes_while_somebody_elsewhere_knows_another_log(home: Home) -> None:
    await grown(home)
    rows(home.path, "INSERT INTO anchor (kind, name, tried, forked) VALUES ('witness', 'w', 0, 1)")
    with pytest.raises(LogBroken):
        await home.admin().prune(NOW, home.archive)
    assert first_row(home.path) == 0


@pytest.mark.holds("prune:clock")
async def test_a_clock_set_forward_ages_nothing(home: Home) -> None:
    await grown(home)
    home.clock.advance(500 * 24 * 3600.0)
    pruned = await home.admin().prune(Until(keep=400 * DAY), home.archive)
    assert (pruned.end, pruned.due) == (0, 0)
    await home.anchor()  # somebody elsewhere says so too
    assert (await home.admin().prune(Until(keep=400 * DAY), home.archive)).end == 512


@pytest.mark.holds("prune:holds")
async def test_what_is_on_hold_stays_with_all_that_follows(home: Home) -> None:
    await grown(home)
    young = await home.holds().hold("subject", "user:bob", "matter 1")
    pruned = await home.admin().prune(NOW, home.archive)
    assert pruned.end == 256
    old = await home.holds().hold("all", "", "matter 2")
    await home.anchor()
    with pytest.raises(OnHold):
        await home.admin().prune(NOW, home.archive)
    await home.holds().release(old.id)
    with pytest.raises(OnHold):
        await home.admin().prune(NOW, home.archive)
    await home.holds().release(young.id)
    assert (await home.admin().prune(NOW, home.archive)).end == 512
    home.verified(home.archive)


@pytest.mark.holds("prune:holds")
async def test_held_between_looking_and_pruning(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    await grown(home)
    seal = PruneAdmin._seal

    async def then_held(*arguments: Any) -> dict[str, object]:
        await home.holds().hold("call", "old", "matter 1")
        return await seal(*arguments)

    monkeypatch.setattr(PruneAdmin, "_seal", then_held)
    with pytest.raises(StoreUnavailable):
        await home.admin().prune(NOW, home.archive)
    assert first_row(home.path) == 0
    home.verified()


@pytest.mark.holds("prune:open")
async def test_an_open_intent_stays_until_it_has_ended(home: Home) -> None:
    await home.fill(300)
    told = facts("long", person("carol"))
    intent = await home.journal.intent(told)
    await home.fill(300)
    await home.anchor()
    assert (await home.admin().prune(NOW, home.archive)).end == 256
    await home.journal.outcome(told, OK, intent)
    await home.fill(300)
    await home.anchor()
    pruned = await home.admin().prune(Until(before=_time(home, 600)), home.archive)
    assert pruned.end == 512
    home.verified()
    query = Query(home.store)
    page = await query.page(Filters(actor="user:carol"))
    assert [record["kind"] for record in page.records] == ["outcome"]
    assert rows(home.path, "SELECT n FROM pruned_intent") == [(intent.n,)]
    assert (await home.admin().prune(NOW, home.archive)).end == 768
    assert rows(home.path, "SELECT n FROM pruned_intent") == []
    home.verified(home.archive)


def _time(home: Home, n: int) -> int:
    return int(json.loads(str(rows(home.path, "SELECT line FROM log WHERE n = ?", n)[0][0]))["_t"])


@pytest.mark.holds("prune:proofs")
async def test_pruned_records_can_still_be_proven(home: Home) -> None:
    await grown(home)
    line = lines(home.path)[5]
    await home.admin().prune(NOW, home.archive)
    await home.signing.newest()
    proof = await Proofs(home.store, home.archive).inclusion([5])
    checked = proof.check(published(home.keys), verify_signature)
    assert checked.lines == (line,)


@pytest.mark.holds("prune:proofs")
async def test_a_checkpoint_of_a_pruned_size_needs_the_archive(home: Home) -> None:
    await home.fill(100)
    kept = Statement.parse((await home.signing.newest()).note)
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    evidence = Evidence(trust=home.trust(), statements=(kept,))
    report = verify(home.path, evidence=evidence)
    assert report.error is not None
    assert "archive" in report.error.what
    assert verify(home.path, archive=home.archive, evidence=evidence).ok


@pytest.mark.holds("prune:verifies")
@pytest.mark.parametrize("attack", ["more", "tile", "other-intent"])
async def test_what_is_gone_without_a_record_is_missed(attack: str, home: Home) -> None:
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    if attack == "more":
        rows(home.path, "DELETE FROM log WHERE n < 520")
    elif attack == "tile":
        rows(home.path, "UPDATE tile SET hashes = zeroblob(8192) WHERE level = 0 AND position = 1")
    else:
        rows(home.path, "INSERT INTO pruned_intent VALUES (3, '{}')")
    report = verify(home.path, deep=True, evidence=Evidence(trust=home.trust()))
    assert report.error is not None
    assert report.error.n == {"more": 0, "tile": 511, "other-intent": 3}[attack]


@pytest.mark.holds("prune:verifies")
async def test_again_and_again_and_with_another_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_module, "STEP", 512)
    for _ in range(3):
        await grown(home)
        await home.signing.rotate()
        await home.anchor()
        pruned = await home.admin().prune(NOW, home.archive)
        assert pruned.end - pruned.first >= 512
        home.verified()
        home.verified(home.archive)
    assert len(segments(home.archive)) >= 3


@pytest.mark.holds("prune:verifies")
async def test_whoever_knows_only_an_earlier_key_needs_the_archive(home: Home) -> None:
    (first, *_) = published(home.keys)
    await home.signing.rotate()
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    trust = Trust(verify_signature, (first,))
    report = verify(home.path, evidence=Evidence(trust=trust))
    assert report.error is not None
    assert "archive" in report.error.what
    assert verify(home.path, archive=home.archive, evidence=Evidence(trust=trust)).ok


@pytest.mark.holds("prune:others")
async def test_another_process_goes_on_without_noticing(home: Home) -> None:
    await home.fill(10)
    idle = Store.open(home.path, "test", clock=home.clock)  # knows the log as it is now
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    (stored,) = await idle.writer.submit(Unit((Entry(b'{"kind":"fault"}'),)))
    assert stored.n == rows(home.path, "SELECT max(n) FROM log")[0][0]
    await idle.aclose()
    assert verify(home.path, evidence=Evidence(trust=home.trust())).ok


@pytest.mark.holds("prune:others")
async def test_damaged_tiles_above_the_leaves_are_made_anew(home: Home) -> None:
    await grown(home)
    await home.admin().prune(NOW, home.archive)
    rows(home.path, "UPDATE tile SET hashes = x'00' WHERE level = 1")
    other = Store.open(home.path, "test", clock=home.clock)
    epochs = Epochs(KeyFiles(home.keys, other.origin), other.boot, home.clock, every=1.0, epoch_us=30 * DAY)
    await SigningAdmin(other, epochs).begin()
    await other.aclose()
    assert verify(home.path, evidence=Evidence(trust=home.trust())).ok


@pytest.mark.holds("prune:archive")
async def test_discarding_keeps_the_tree_alone(home: Home) -> None:
    await grown(home)
    pruned = await home.admin().prune(NOW, None)
    assert (pruned.end, pruned.segments) == (512, ())
    assert b'"discarded":1' in next(line for line in lines(home.path) if b'"kind":"prune"' in line)
    home.verified()


async def test_a_dry_run_says_and_does_nothing(home: Home) -> None:
    await grown(home)
    before = lines(home.path)
    assert (await home.admin().prune(NOW, home.archive, dry_run=True)).end == 512
    assert lines(home.path) == before
    assert not home.archive.exists()


@pytest.mark.holds("prune:archive")
async def test_what_an_interrupted_pruning_left_does_not_disturb(home: Home) -> None:
    await grown(home)
    pruning = home.admin()
    plan = await pruning.plan(NOW)
    await pruning._seal(home.archive, 0, pruning._cut(replace(plan, end=256)))
    await home.admin().prune(NOW, home.archive)
    home.verified(home.archive)
