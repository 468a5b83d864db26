"""Checkpoints and proofs over MCP: read like records, and told no more than records are."""

from pathlib import Path

import pytest

from mcp_guard.audit.epochs import Epochs
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.key_files import KeyFiles
from mcp_guard.audit.proof_file import ProofFile, check_leaf
from mcp_guard.audit.verify import verify_signature
from mcp_guard.model.errors import GuardError, Refused, UsageError
from mcp_guard.model.note import Checkpoint, VerifierKey, open_note, parse_note
from mcp_guard.store.store import Store
from tests.admin.conftest import records
from tests.admin.test_records import ALICE, BOB, allow, audits, reader


@pytest.fixture
async def key(store: Store, tmp_path: Path) -> VerifierKey:
    """The key of the log; from here on it is signed."""
    epochs = Epochs(KeyFiles(tmp_path / "keys", store.origin), store.boot, store.clock, every=1.0, epoch_us=10**15)
    return await store.writer.alone(epochs.begin)


@pytest.fixture
async def calls(journal: Journal, key: VerifierKey) -> None:
    """Behind the record that announces the key: a call by Alice, and two by Bob."""
    for number, who in enumerate((ALICE, BOB, BOB)):
        facts = CallFacts(f"call-{number}", who, "orders_get", arguments={"n": number}, decision=allow())
        await journal.outcome(facts, Ending("ok", "yes", 1))


@pytest.mark.holds("audit:proof-resources")
async def test_a_proof_is_for_who_may_read_the_record(
    store: Store, journal: Journal, key: VerifierKey, calls: None
) -> None:
    own, everything = (reader(store, journal, audits(allow(rows))) for rows in (None, "all"))
    asked = {n: await own.proof(ALICE, n) for n in (0, 1, 2, 3, 99, 10**14)}
    assert [n for n, found in asked.items() if found] == [1], "the key, other people's and what is not there look alike"
    assert await everything.proof(BOB, 3) is not None
    found = asked[1]
    assert found is not None
    leaf = bytes.fromhex(str(found["leaf"]))
    assert check_leaf(str(found["proof"]).encode(), leaf, [key], verify_signature).origin == store.origin
    reads = [record["state"] for record in await records(store) if record["kind"] == "read"]
    assert [(state["n"], state["count"]) for state in reads] == [
        (0, 0),
        (1, 1),
        (2, 0),
        (3, 0),
        (99, 0),
        (10**14, 0),
        (3, 1),
    ]


@pytest.mark.holds("audit:proof-resources")
async def test_the_stored_line_is_for_those_who_read_all(
    store: Store, journal: Journal, key: VerifierKey, calls: None
) -> None:
    found = await reader(store, journal, audits(allow("all"))).proof(ALICE, 1)
    assert found is not None
    assert len(ProofFile.parse(str(found["proof"]).encode()).check([key], verify_signature).lines) == 1
    found = await reader(store, journal, audits(allow("tenant"))).proof(ALICE, 1)
    assert found is not None
    assert "extra" not in str(found["proof"])


@pytest.mark.holds("audit:proof-resources")
async def test_the_checkpoint_is_the_newest_one(store: Store, journal: Journal, key: VerifierKey, calls: None) -> None:
    reading = reader(store, journal, audits(allow()))
    found = await reading.checkpoint(ALICE)
    assert found["size"] == 4
    note = parse_note(str(found["checkpoint"]).encode())
    assert open_note(note, [key], verify_signature)
    assert Checkpoint.parse(note.text).size == 4
    with pytest.raises(Refused):
        await reader(store, journal, {}).checkpoint(ALICE)
    with pytest.raises(Refused):
        await reader(store, journal, {}).proof(ALICE, 1)


@pytest.mark.holds("audit:proof-resources")
async def test_without_a_signature_there_is_none(store: Store, journal: Journal) -> None:
    await journal.read(ALICE, {"what": "status"})
    reading = reader(store, journal, audits(allow()))
    assert await reading.checkpoint(ALICE) == {"checkpoint": None, "size": 0}
    with pytest.raises(UsageError):
        await reading.proof(ALICE, 0)


@pytest.mark.holds("audit:signing-fails")
async def test_the_status_says_why_the_log_is_not_signed(
    store: Store, journal: Journal, key: VerifierKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise GuardError("no ink")

    monkeypatch.setattr(Epochs, "sign", fail)
    reading = reader(store, journal, audits(allow()))
    await reading.status(ALICE)
    assert (await reading.status(ALICE))["signing"] == "no ink"
    stored = await journal.read(ALICE, {"what": "status"})
    assert journal.checkpoint(stored) is None
