"""Signing keys over time: announced, handed over, destroyed; taken up wherever a change was cut off."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mcp_guard.audit import key_files
from mcp_guard.audit.epochs import ALIVE_US, Epochs
from mcp_guard.audit.key_files import CURRENT, NEXT, OLD, KeyFiles
from mcp_guard.audit.signer import SigningKey
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import GuardError, Invalid, StoreUnavailable
from mcp_guard.model.merkle import root_of
from mcp_guard.model.note import Checkpoint, NoteError, VerifierKey, open_note, parse_note
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.values import Entry, Unit
from tests.simulators.clock import FakeClock

DAY = 24 * 3600
EPOCH = 30 * DAY


def verify(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@dataclass
class Process:
    """One process on the store: its ledger and its view of the keys."""

    ledger: Ledger
    epochs: Epochs

    def begin(self) -> VerifierKey:
        return self.ledger.alone(self.epochs.begin)

    def rotate(self) -> VerifierKey:
        return self.ledger.alone(self.epochs.rotate)

    def tend(self) -> None:
        self.ledger.alone(self.epochs.tend)

    def write(self) -> bytes:
        """Append a record; the checkpoint that covers it."""
        (result,) = self.ledger.write([Unit((Entry(b'{"boot":"00","kind":"fault","v":1}'),))])
        assert not isinstance(result, Exception)
        head = self.ledger.head
        assert head is not None
        assert head.signed is not None
        assert head.signed.size == result[0].n + 1
        return head.signed.note


class World:
    """A store and a key directory, and what stands in them."""

    def __init__(self, home: Path, clock: FakeClock) -> None:
        self.store = home / "var" / "guard.db"
        self.keys = home / "keys"
        self.clock = clock
        self.boots = 0
        self.running: list[Process] = []

    def start(self) -> Process:
        self.boots += 1
        boot = f"{self.boots:016x}"
        ledger = Ledger(self.store, boot, self.clock)
        ledger.create("desk")
        files = KeyFiles(self.keys, ledger.origin)
        process = Process(ledger, Epochs(files, boot, self.clock, every=1.0, epoch_us=EPOCH * 1_000_000))
        self.running.append(process)
        return process

    def lines(self) -> list[bytes]:
        ledger = Ledger(self.store, "00000000000000ff", self.clock)
        ledger.create("desk")
        try:
            return ledger.alone(lambda turn: self._lines(turn.one))
        finally:
            ledger.close()

    def _lines(self, one: Callable[..., tuple[object, ...] | None]) -> list[bytes]:
        found: list[bytes] = []
        while (row := one("log_line", {"n": len(found)})) is not None:
            found.append(str(row[0]).encode())
        return found

    def said(self) -> list[dict[str, str]]:
        records = map(orjson.loads, self.lines())
        return [record["state"] for record in records if record["kind"] == "key"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, FakeClock())
    yield made
    for process in made.running:
        process.ledger.close()


def check_epochs(world: World) -> list[VerifierKey]:
    """Follow the hand-overs from the first key, as an auditor who trusts only that one would; the keys in order."""
    lines = world.lines()
    leaves = [bytes.fromhex(leaf_hash(line)) for line in lines]
    keys: list[VerifierKey] = []
    announced: tuple[int, VerifierKey] | None = None
    for n, line in enumerate(lines):
        record = orjson.loads(line)
        said = record["state"] if record["kind"] == "key" else {}
        match said.get("what"):
            case "first":
                keys.append(VerifierKey.parse(said["vkey"]))
            case "next":
                announced = n, VerifierKey.parse(said["vkey"])
            case "changed":
                note = parse_note(said["checkpoint"].encode())
                assert open_note(note, [keys[-1]], verify)
                head = Checkpoint.parse(note.text)
                assert announced is not None
                assert announced[0] < head.size <= n, "the old key vouches for the announcement"
                assert head.root == root_of(leaves[: head.size])
                assert said["key"] == announced[1].key_id.hex()
                keys.append(announced[1])
    return keys


def signer_of(note: bytes, keys: list[VerifierKey]) -> VerifierKey:
    ((key, _),) = open_note(parse_note(note), keys, verify)
    return key


# --- the first key --------------------------------------------------------------------------------------------------


@pytest.mark.holds("audit:signing-key")
def test_the_first_key_is_made_announced_and_private(world: World) -> None:
    process = world.start()
    key = process.begin()
    assert key.name == process.ledger.origin
    assert world.said() == [{"what": "first", "vkey": str(key)}]
    assert key_files.published(world.keys) == (key,)
    if os.name == "posix":
        assert stat.S_IMODE((world.keys / CURRENT).stat().st_mode) == 0o600
        assert stat.S_IMODE(world.keys.stat().st_mode) == 0o700
    assert signer_of(process.write(), [key]) == key


@pytest.mark.holds("audit:signing-key")
def test_every_process_and_every_start_signs_with_the_same_key(world: World) -> None:
    first, second = world.start(), world.start()
    assert first.begin() == second.begin()
    first.ledger.close()
    assert world.start().begin() == second.begin()
    assert len(world.said()) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no mode bits")
@pytest.mark.holds("audit:signing-key")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_key_others_can_read_is_refused(world: World, mode: int) -> None:
    world.start().begin()
    (world.keys / CURRENT).chmod(mode)
    with pytest.raises(Invalid, match="by others"):
        world.start().begin()


@pytest.mark.holds("audit:signing-key")
def test_the_key_of_another_log_is_refused(world: World) -> None:
    process = world.start()
    KeyFiles(world.keys, "other/00").make(CURRENT)
    with pytest.raises(Invalid, match="another log"):
        process.begin()
    assert world.said() == []


@pytest.mark.holds("audit:signing-key")
@pytest.mark.parametrize(
    "text", [b"", b"PRIVATE+KEY+", b"\xff\xfe", b"PRIVATE+KEY+desk/00+00000000+AAAA\n", b"x" * 5000]
)
def test_what_is_no_key_is_refused_and_not_quoted(world: World, text: bytes) -> None:
    world.start().begin()
    (world.keys / CURRENT).write_bytes(text)
    with pytest.raises(Invalid) as refused:
        world.start().begin()
    assert "x" * 50 not in str(refused.value)


@pytest.mark.holds("audit:signing-key")
def test_a_key_that_the_log_does_not_name_never_signs(world: World) -> None:
    process = world.start()
    process.begin()
    KeyFiles(world.keys, process.ledger.origin).make(CURRENT)
    with pytest.raises(Invalid, match="not there"):
        world.start().begin()
    (world.keys / CURRENT).unlink()
    with pytest.raises(Invalid, match="not there"):
        world.start().begin()
    assert not (world.keys / CURRENT).exists(), "a lost key is not replaced in silence"


@pytest.mark.holds("audit:signing-key")
def test_a_key_reads_as_go_writes_it() -> None:
    key = SigningKey.generate("desk/00")
    read = SigningKey.parse(key.to_text())
    assert read.public == key.public
    assert key.to_text().startswith(f"PRIVATE+KEY+desk/00+{key.public.key_id.hex()}+")
    other = SigningKey.generate("desk/00").to_text()
    with pytest.raises(NoteError):
        SigningKey.parse(key.to_text().rpartition("+")[0] + "+" + other.rpartition("+")[2])


# --- changing keys --------------------------------------------------------------------------------------------------


@pytest.mark.holds("audit:key-rotation")
def test_the_old_key_vouches_for_the_new_one_and_is_destroyed(world: World) -> None:
    process = world.start()
    first = process.begin()
    before = process.write()
    secret = (world.keys / CURRENT).read_bytes()
    second = process.rotate()
    assert check_epochs(world) == [first, second]
    assert signer_of(before, [first, second]) == first
    assert signer_of(process.write(), [first, second]) == second
    assert not (world.keys / OLD).exists()
    assert not (world.keys / NEXT).exists()
    assert all(secret not in path.read_bytes() for path in world.keys.iterdir())
    assert key_files.published(world.keys) == (first, second)


@pytest.mark.holds("audit:key-rotation")
def test_each_key_signs_only_sizes_of_its_epoch(world: World) -> None:
    process = world.start()
    keys = [process.begin()]
    process.write()
    keys.append(process.rotate())
    process.write()
    keys.append(process.rotate())
    process.write()
    last_of = {}
    for said in world.said():
        if said["what"] == "changed":
            note = parse_note(said["checkpoint"].encode())
            last_of[signer_of(said["checkpoint"].encode(), keys)] = Checkpoint.parse(note.text).size
    process.ledger.close()
    stored = world.start()
    count = len(world.lines())
    rows = stored.ledger.alone(lambda turn: [turn.one("checkpoint_after", {"n": n}) for n in range(count)])
    for row in rows:
        assert row is not None
        size, note_text = row
        assert isinstance(size, int)
        key = signer_of(str(note_text).encode(), keys)
        epoch = keys.index(key)
        assert size <= last_of.get(key, size)
        assert epoch == 0 or size > last_of[keys[epoch - 1]]
    kept = [last_of[key] for key in keys[:-1]]
    assert kept == sorted(kept)


@pytest.mark.holds("audit:key-rotation")
def test_other_processes_take_the_new_key_with_their_next_batch(world: World) -> None:
    one, other = world.start(), world.start()
    first = one.begin()
    other.begin()
    other.write()
    second = one.rotate()
    assert signer_of(other.write(), [first, second]) == second
    third = other.rotate()
    assert signer_of(one.write(), [first, second, third]) == third
    assert check_epochs(world) == [first, second, third]


@pytest.mark.holds("audit:key-rotation")
def test_a_key_is_changed_when_its_time_is_over(world: World) -> None:
    process = world.start()
    first = process.begin()
    world.clock.advance(EPOCH - 1)
    process.write()
    process.tend()
    assert check_epochs(world) == [first]
    world.clock.advance(1)
    process.tend()
    process.tend()
    assert len(check_epochs(world)) == 2


@pytest.mark.holds("audit:key-rotation")
def test_a_quiet_log_says_daily_that_it_lives(world: World) -> None:
    process, other = world.start(), world.start()
    process.begin()
    other.begin()
    for _ in range(2):
        world.clock.advance(ALIVE_US / 1_000_000)
        process.tend()
        other.tend()
    assert [said["what"] for said in world.said()] == ["first", "alive", "alive"]


@pytest.mark.holds("audit:key-rotation")
def test_a_change_that_cannot_be_written_keeps_the_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.start()
    first = process.begin()
    failing = OSError(28, "No space left on device")

    def full(*_: object) -> None:
        raise failing

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(Invalid, match="No space"):
            process.rotate()
    assert signer_of(process.write(), [first]) == first
    assert len(check_epochs(world)) == 1
    process.rotate()
    assert len(check_epochs(world)) == 2


# --- cut off --------------------------------------------------------------------------------------------------------

POINTS = (
    "audit.next-key-made",
    "audit.next-key-announced",
    "audit.hand-over-signed",
    "audit.key-changed",
    "audit.key-put-away",
    "audit.key-in-force",
)


class Dead(BaseException):
    """Instead of dying."""


def cut_off_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(name: str) -> None:
        if name == point:
            raise Dead

    monkeypatch.setattr("mcp_guard.audit.epochs.failpoint", reached)
    monkeypatch.setattr("mcp_guard.audit.key_files.failpoint", reached)


@pytest.mark.holds("audit:key-rotation")
@pytest.mark.parametrize("goes_on", ["the same kind of process", "one that was running"])
@pytest.mark.parametrize("point", POINTS)
def test_a_change_cut_off_anywhere_is_finished_or_forgotten(
    world: World, point: str, goes_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, running = world.start(), world.start()
    first = dying.begin()
    running.begin()
    with monkeypatch.context() as patch:
        cut_off_at(point, patch)
        with pytest.raises(Dead):
            dying.rotate()
    dying.ledger._lock.close()
    if goes_on == "one that was running":
        between = running.write()
        running.tend()
        process = running
    else:
        process = world.start()
        process.begin()
        between = process.write()
    keys = check_epochs(world)
    assert len(keys) == (1 if point == "audit.next-key-made" else 2)
    assert keys[0] == first
    assert signer_of(between, keys) in keys
    assert signer_of(process.write(), keys) == keys[-1]
    assert sorted(path.name for path in world.keys.iterdir()) == [CURRENT, key_files.PUBLIC]
    assert world.start().begin() == keys[-1]


@pytest.mark.holds("audit:key-rotation")
def test_a_hand_over_that_is_not_committed_leaves_the_old_key_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = world.start()
    first = process.begin()
    write = Epochs._write

    def fail_at_hand_over(self: Epochs, turn: object, said: dict[str, str], *rest: object, **more: object) -> None:
        if said["what"] == "changed":
            raise StoreUnavailable("full")
        write(self, turn, said, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "_write", fail_at_hand_over)
        with pytest.raises(GuardError):
            process.rotate()
    assert signer_of(process.write(), [first]) == first
    process.tend()
    assert len(check_epochs(world)) == 2
