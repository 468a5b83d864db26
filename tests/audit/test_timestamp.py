"""Time stamps: what a trusted authority said of this checkpoint, now, and nothing else it or others answer."""

import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mcp_guard.admin.anchoring import Anchoring, Planned
from mcp_guard.audit.anchors import MAX_SKEW, AnchorFailed, LogForked, Reply
from mcp_guard.audit.timestamp import QUERY_KIND, Authorities, TimestampAnchor
from mcp_guard.audit.verify import Evidence, Trust, verify, verify_signature
from mcp_guard.model.errors import Invalid
from tests.audit.anchored import Signing
from tests.simulators.clock import FakeClock
from tests.simulators.tsa import TimestampAuthority, at, told
from tests.store.helpers import lines


@pytest.fixture
async def signing(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Signing]:
    opened = await Signing.open(tmp_path / "home", clock)
    await opened.grow(5)
    yield opened
    await opened.aclose()


@pytest.fixture
def now(clock: FakeClock) -> int:
    return clock.now_us() // 1_000_000


@pytest.fixture
def tsa(now: int) -> TimestampAuthority:
    return TimestampAuthority(lambda: at(now))


def asked(signing: Signing, tsa: TimestampAuthority, trusted: Authorities | None = None) -> TimestampAnchor:
    async def post(path: str, body: bytes, kind: str) -> Reply:
        assert (path, kind) == ("", QUERY_KIND)
        return Reply(200, "application/timestamp-reply", tsa.answer(body))

    return TimestampAnchor("tsa.example", post, trusted or Authorities((tsa.root,)), signing.store.clock)


@pytest.mark.holds("anchors:stamped")
async def test_a_stamp_of_a_trusted_authority_counts(signing: Signing, tsa: TimestampAuthority, now: int) -> None:
    confirmed = await asked(signing, tsa).confirm(signing.admin.newest, 0)
    assert (confirmed.size, confirmed.time) == (6, now)
    assert confirmed.token is not None
    assert Authorities((tsa.root,)).seen(confirmed.note, confirmed.token) == now
    assert Authorities((tsa.root,)).seen(confirmed.note + b"\n", confirmed.token) is None


def other(tsa: TimestampAuthority) -> TimestampAuthority:
    return TimestampAuthority(tsa.now)


LIES: dict[str, Callable[[TimestampAuthority], TimestampAuthority]] = {
    "another message": lambda tsa: replace(
        tsa, tell=lambda stamp: replace(stamp, imprint=stamp.imprint[:-32] + bytes(32))
    ),
    "a replayed answer": lambda tsa: replace(tsa, tell=lambda stamp: replace(stamp, nonce=stamp.nonce + 1)),
    "an old time": lambda tsa: replace(tsa, tell=told(time=at(int(tsa.now().timestamp()) - MAX_SKEW - 1))),
    "a time to come": lambda tsa: replace(tsa, tell=told(time=at(int(tsa.now().timestamp()) + MAX_SKEW + 1))),
    "after its certificate": lambda tsa: replace(tsa, tell=told(time=at(int(tsa.now().timestamp()) + 400 * 86400))),
    "rejected": lambda tsa: replace(tsa, tell=told(status=2)),
    "nothing": lambda tsa: replace(tsa, forge=lambda _: b""),
    "noise": lambda tsa: replace(tsa, forge=lambda _: b"\x30\x80" + b"\xff" * 1000),
    "a page": lambda tsa: replace(tsa, forge=lambda _: b"<html>no</html>"),
    "a truncated token": lambda tsa: replace(tsa, forge=lambda answer: answer[:-10]),
    "a changed signature": lambda tsa: replace(tsa, forge=lambda answer: answer[:-4] + bytes(4)),
    "a certificate for something else": lambda tsa: replace(
        tsa, purpose=ExtendedKeyUsageOID.SERVER_AUTH, root_key=tsa.root_key
    ),
    "somebody else": other,
}


@pytest.mark.holds("anchors:stamped")
@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_a_trusted_stamp_of_this_now_counts_for_nothing(
    signing: Signing, tsa: TimestampAuthority, lie: str
) -> None:
    with pytest.raises(AnchorFailed) as failed:
        await asked(signing, LIES[lie](tsa), Authorities((tsa.root,))).confirm(signing.admin.newest, 0)
    assert not isinstance(failed.value, LogForked)


@pytest.mark.holds("anchors:stamped", "anchors:fork")
async def test_a_log_shorter_than_what_was_stamped_is_said_so(signing: Signing, tsa: TimestampAuthority) -> None:
    with pytest.raises(LogForked, match="stamped 7 records, and the log has only 6"):
        await asked(signing, tsa).confirm(signing.admin.newest, 7)


@pytest.mark.holds("anchors:stamped")
async def test_verification_counts_recorded_stamps_of_trusted_authorities(
    signing: Signing, tsa: TimestampAuthority, now: int, clock: FakeClock
) -> None:
    def check(*trusted: TimestampAuthority) -> Any:
        stamped = Authorities(tuple(each.root for each in trusted)).seen if trusted else None
        return verify(lines(signing.store.path), evidence=Evidence(trust=Trust(verify_signature, stamped=stamped)))

    for each in (tsa, other(tsa)):
        anchoring = Anchoring([Planned(asked(signing, each), 1)], signing.store, signing.journal, signing.admin.newest)
        assert [attempt.state for attempt in await anchoring.now()] == ["anchored"]
        await signing.grow(3)
    report = check(tsa)
    assert (report.ok, report.anchored, report.newest.time) == (True, 6, now), "the later one is a stranger's"
    assert check().anchored == check(other(tsa)).anchored == "never"


@pytest.mark.holds("anchors:stamped")
async def test_a_stamped_history_that_is_not_this_is_named(
    signing: Signing, tsa: TimestampAuthority, tmp_path: Path, clock: FakeClock
) -> None:
    """A rewrite that carries a genuine stamp of what it replaced."""
    elsewhere = await Signing.open(tmp_path / "elsewhere", clock)
    await elsewhere.grow(4)
    genuine = await asked(elsewhere, tsa).confirm(elsewhere.admin.newest, 0)
    await elsewhere.aclose()

    def no_work(_: object) -> None:
        """Only the record."""

    assert genuine.token is not None
    state = {"what": "acknowledged", "checkpoint": genuine.note.decode(), "token": b64encode(genuine.token).decode()}
    await signing.journal.anchored(state, no_work)
    trust = Trust(verify_signature, stamped=Authorities((tsa.root,)).seen)
    report = verify(signing.store.path, evidence=Evidence(trust=trust))
    assert report.error is not None
    assert "belongs to another log" in report.error.what


@pytest.mark.holds("anchors:stamped")
@pytest.mark.parametrize("text", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"])
def test_certificates_that_are_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(text)
    with pytest.raises(Invalid, match=r"ca\.pem"):
        Authorities.of(path)
    with pytest.raises(Invalid, match="cannot be read"):
        Authorities.of(tmp_path / "missing.pem")


@pytest.mark.holds("anchors:stamped")
def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, tsa: TimestampAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(tsa.roots_pem)
    assert Authorities.of(path, path) == Authorities((tsa.root,))
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(Invalid, match="not installed") as refused:
        Authorities.of(path)
    assert refused.value.problems[0].hint == "pip install 'mcp-guard[timestamp]'"
