"""Keys over time: whoever trusts one key of a log can check all of it, and whoever steals one can forge little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mcp_guard.audit.statements import Statement, Trust
from mcp_guard.audit.verify import Evidence, Report, verify, verify_signature
from mcp_guard.kit import strict_json
from mcp_guard.model import ed25519
from mcp_guard.model.chain import Tail
from mcp_guard.model.note import Note
from tests.audit import standalone
from tests.audit.signing import Signer, checkpoint

ORIGIN = "desk/0123"
ONE, TWO, THREE, THIEF = (Signer(ORIGIN, seed) for seed in (1, 2, 3, 9))


@dataclass
class Log:
    """A log that is written and signed step by step."""

    lines: list[bytes] = field(default_factory=list)
    tail: Tail = field(default_factory=lambda: Tail.start(ORIGIN))

    def add(self, kind: str = "fault", **state: object) -> int:
        body = strict_json.dumps({"boot": "0123456789abcdef", "kind": kind, "state": state, "v": 1})
        line, self.tail = self.tail.seal(body, 1_790_000_000_000_000)
        self.lines.append(line)
        return len(self.lines) - 1

    def fill(self, count: int) -> "Log":
        for _ in range(count):
            self.add()
        return self

    def key(self, what: str, signer: Signer, **more: object) -> int:
        """As `audit.epochs` writes it."""
        said = {"vkey": str(signer.key)} if what in ("first", "next") else {"key": signer.key.key_id.hex()}
        return self.add("key", what=what, **said, **more)

    def rotate(self, old: Signer, new: Signer, last: Note | None = None) -> int:
        """The number of the record that puts the new key in force."""
        self.key("next", new)
        signed = last or checkpoint(self.lines, ORIGIN, old)
        return self.key("changed", new, checkpoint=signed.format().decode())


def three_epochs() -> Log:
    """23 records: the first key speaks up to size 8, the second up to 15."""
    log = Log().fill(1)
    log.key("first", ONE)
    log.fill(5)
    assert log.rotate(ONE, TWO) == 8
    log.fill(5)
    assert log.rotate(TWO, THREE) == 15
    log.fill(6)
    log.key("alive", THREE)
    return log


LOG = three_epochs()


def check(log: Sequence[bytes], shown: Sequence[Note], keys: Sequence[Signer], *, complete: bool = False) -> Report:
    statements = tuple(Statement.parse(note.format()) for note in shown)
    trust = Trust(verify_signature, tuple(signer.key for signer in keys), complete=complete)
    return verify(log, evidence=Evidence(statements=statements, trust=trust))


def signed(size: int, signer: Signer, log: Sequence[bytes] = LOG.lines) -> Note:
    return checkpoint(log, ORIGIN, signer, size)


def error_of(report: Report) -> tuple[int, str]:
    assert report.error is not None
    return report.error.n, report.error.what


@pytest.mark.holds("audit:key-epochs")
@pytest.mark.parametrize("keys", [(ONE,), (TWO,), (THREE,), (ONE, TWO, THREE), (THREE, ONE)])
def test_any_key_of_a_log_is_enough_to_follow_the_others(keys: tuple[Signer, ...]) -> None:
    shown = [signed(8, ONE), signed(12, TWO), signed(15, TWO), signed(23, THREE)]
    report = check(LOG.lines, shown, keys)
    assert report.ok, report.error
    assert report.signed == 23


@pytest.mark.holds("audit:key-epochs")
def test_an_earlier_key_needs_a_signature_of_a_later_one_over_its_hand_over() -> None:
    assert check(LOG.lines, [signed(8, ONE), signed(16, THREE)], [THREE]).ok
    n, what = error_of(check(LOG.lines, [signed(8, ONE)], [THREE]))
    assert (n, "not signed by a known key" in what) == (7, True)


@pytest.mark.holds("audit:key-epochs")
@pytest.mark.parametrize(
    ("size", "signer"), [(7, TWO), (7, THREE), (15, THREE), (8, TWO), (9, ONE), (16, TWO), (23, ONE)]
)
def test_a_key_signs_sizes_of_its_own_epoch_only(size: int, signer: Signer) -> None:
    n, what = error_of(check(LOG.lines, [signed(size, signer), signed(23, THREE)], [ONE]))
    assert n == size - 1
    assert "not the one in force" in what


def stolen(signer: Signer) -> Callable[[], Log]:
    """Record 3, of the first epoch, is changed by somebody who has a later key: the hand-over no longer fits."""

    def forge() -> Log:
        log = Log().fill(1)
        log.key("first", ONE)
        log.fill(1)
        log.add(x="forged")
        log.fill(3)
        log.rotate(ONE, TWO, last=signed(8, ONE))  # the old key is gone, all there is is what it signed
        log.fill(5)
        log.rotate(TWO, THREE, last=signed(15, TWO) if signer is THREE else None)
        return log.fill(7)

    return forge


def other_first_key() -> Log:
    """Everything anew, under keys of the thief up to the stolen one."""
    log = Log().fill(1)
    log.key("first", THIEF)
    log.fill(5)
    log.rotate(THIEF, THREE)
    return log.fill(14)


@pytest.mark.holds("audit:key-epochs")
@pytest.mark.parametrize(("forge", "signer", "n"), [(stolen(TWO), TWO, 8), (stolen(THREE), THREE, 8)])
def test_whoever_steals_a_later_key_cannot_rewrite_an_earlier_epoch(
    forge: Callable[[], Log], signer: Signer, n: int
) -> None:
    log = forge().lines
    for key in (ONE, signer):
        named, what = error_of(check(log, [signed(len(log), THREE, log)], [key]))
        assert named == n
        assert "signed last" in what


@pytest.mark.holds("audit:key-epochs")
def test_a_log_begun_anew_with_the_stolen_key_is_caught_by_any_earlier_key() -> None:
    log = other_first_key().lines
    shown = [signed(len(log), THREE, log)]
    assert check(log, shown, [THREE]).ok, "who knows the stolen key alone needs an anchor"
    for keys in ([ONE], [ONE, THREE], [TWO, THREE]):
        assert error_of(check(log, shown, keys))[0] == 1
    assert error_of(check(log, shown, [ONE, TWO, THREE], complete=True))[0] == 1


@pytest.mark.holds("audit:key-epochs")
def test_a_home_knows_all_its_keys_and_a_log_may_end_before_the_last() -> None:
    keys = [ONE, TWO, THREE]
    assert check(LOG.lines, [signed(23, THREE)], keys, complete=True).ok
    assert check(LOG.lines[:12], [signed(12, TWO)], keys, complete=True).ok
    assert error_of(check(LOG.lines, [signed(23, THREE)], [ONE, THREE], complete=True))[0] == 8
    assert check(LOG.lines, [signed(23, THREE)], [ONE, TWO], complete=True).ok, "the second handed over to the third"
    without = Log().fill(4).lines
    assert error_of(check(without, [signed(4, TWO, without)], keys))[0] == 0


def unannounced(log: Log) -> None:
    log.key("changed", TWO, checkpoint=checkpoint(log.lines, ORIGIN, ONE).format().decode())


def announced_as_another(log: Log) -> None:
    log.key("next", THREE)
    unannounced(log)


def signed_by_the_successor(log: Log) -> None:
    log.rotate(TWO, TWO)


def without_covering(log: Log) -> None:
    log.rotate(ONE, TWO, last=checkpoint(log.lines, ORIGIN, ONE))


def of_a_size_to_come(log: Log) -> None:
    more = Log(list(log.lines), log.tail)
    more.key("next", TWO)
    log.rotate(ONE, TWO, last=checkpoint(more.fill(3).lines, ORIGIN, ONE))


def of_another_log(log: Log) -> None:
    log.key("next", TWO)
    other = checkpoint(log.lines, "other/log", Signer("other/log", 1))
    log.key("changed", TWO, checkpoint=other.format().decode())


def not_a_note(log: Log) -> None:
    log.key("next", TWO)
    log.key("changed", TWO, checkpoint="x" * 1000)


def first_again(log: Log) -> None:
    log.key("first", TWO)


def alive_with_another(log: Log) -> None:
    log.key("alive", TWO)


def not_a_key(log: Log) -> None:
    log.add("key", what="next", vkey="nonsense")


def something_else(log: Log) -> None:
    log.add("key", what="surprise")


@pytest.mark.holds("audit:key-epochs")
@pytest.mark.parametrize(
    "change",
    [
        unannounced,
        announced_as_another,
        signed_by_the_successor,
        without_covering,
        of_a_size_to_come,
        of_another_log,
        not_a_note,
        first_again,
        alive_with_another,
        not_a_key,
        something_else,
    ],
)
def test_a_change_of_keys_that_is_not_as_it_must_be_is_named(change: Callable[[Log], None], tmp_path: Path) -> None:
    log = Log().fill(1)
    log.key("first", ONE)
    log.fill(3)
    change(log)
    report = check(log.lines, [signed(len(log.lines), TWO, log.lines)], [ONE])
    n, what = error_of(report)
    assert n == len(log.lines) - 1
    assert "keys" in what
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(log.lines))
    status, found = standalone.run(path, "--key", str(ONE.key))
    assert (status, found["error"]) == (8, {"n": n, "what": what})


@pytest.mark.holds("audit:key-epochs")
def test_a_key_of_another_log_speaks_for_none_of_this_one() -> None:
    report = check(LOG.lines, [], [Signer("other/log", 1)])
    assert error_of(report)[0] == 0


@pytest.mark.holds("audit:ed25519")
@pytest.mark.parametrize("place", [0, 31, 32, 63])
def test_program_and_file_check_signatures_alike(place: int) -> None:
    note = signed(8, ONE)
    key, signature, message = ONE.key.key, note.signatures[0].value, note.text.encode()
    damaged = bytes(byte ^ (at == place) for at, byte in enumerate(signature))
    for check_one in (verify_signature, ed25519.verify):
        assert check_one(key, signature, message)
        assert not check_one(key, damaged, message)
        assert not check_one(bytes(32), signature, message)
        assert not check_one((1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32), message)
