"""Decisions the guard cannot make up: signed by people's own keys, checked when they count and when they are used."""

import asyncio
import json
import re
import sqlite3
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_guard import runner
from mcp_guard.approval import rules
from mcp_guard.approval.request import binding
from mcp_guard.approval.signed import ToSign
from mcp_guard.approval.store import Verdict, Vote
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.verify import verify
from mcp_guard.build import Guard, open_erasing, open_guard
from mcp_guard.config.load import load
from mcp_guard.demo.sandbox import Sandbox
from mcp_guard.model.call import ToolCall
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.model.signed_decision import SignedDecision, digest_of_shown
from mcp_guard.model.sshsig import SshKey
from mcp_guard.store.transaction import together
from mcp_guard.store.values import Unit
from tests.flow import MANIFEST, add_flow
from tests.signed import BOB, BOBS_TOKEN, DANA, STRANGER, ask_for, declare_keys, sign, signed_home
from tests.simulators.process import Program
from tests.simulators.ssh_key import SshKeyPair


@pytest.fixture
def home(desk: Program) -> Path:
    return signed_home(desk.home)


@asynccontextmanager
async def _guard(home: Path, *, carrying: bool = True) -> AsyncIterator[Guard]:
    with pytest.MonkeyPatch.context() as patch:
        if not carrying:
            patch.setattr(runner, "LOOK_SECONDS", 86_400.0)
        async with open_guard(load(home, environ={}), serving=True, verbosity=-1) as guard:
            yield guard


def _who(guard: Guard, subject: str, assurance: str = "token") -> Principal:
    declared = guard.declare(subject, "agent:local")
    return replace(declared, auth="bearer", assurance=assurance)  # type: ignore[arg-type]  # a word of the contract


async def _refund(guard: Guard, amount: float) -> dict[str, Any]:
    sent = ToolCall(guard.new_call_id(), "payments_refund", {"order_id": "ORD-1001", "amount": amount})
    answer = await guard.call(_who(guard, "user:alice"), sent)
    found: Any = answer.structured["guard"]
    assert found["code"] == "approval_pending", answer.text
    return dict(found)


async def _decide(guard: Guard, subject: str, assurance: str, approval: str, verdict: Verdict = "approved") -> None:
    await guard.approvals.decide(_who(guard, subject, assurance), approval, verdict, "mcp")


async def _ended(guard: Guard, task: str) -> dict[str, Any]:
    guard.runner.poke()
    async with asyncio.timeout(60):
        while True:
            found: Any = await guard.tasks.status(_who(guard, "user:alice"), task, 5)
            if found["task"]["status"] in ("completed", "failed", "cancelled"):
                return dict(found["task"])


def _code(task: dict[str, Any]) -> tuple[str, str]:
    return task["status"], task["result"]["guard"]["code"]


MISMATCH = ("failed", "approval_mismatch")


def _refunds(payments: Sandbox, amount: float) -> int:
    return len([entry for entry in payments.ledger.entries() if entry["amount"] == amount])


def _write(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def _read(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        return database.execute(statement).fetchall()


def _approvals(home: Path) -> list[dict[str, Any]]:
    lines = (json.loads(line) for (line,) in _read(home, "SELECT line FROM log ORDER BY n"))
    return [line for line in lines if line["kind"] == "approval"]


def _fingerprint(pair: SshKeyPair) -> str:
    return SshKey.parse(pair.wire).fingerprint


@pytest.mark.holds("signed:who", "signed:record")
@pytest.mark.parametrize("pair", [BOB, BOBS_TOKEN], ids=["a key", "a security key"])
async def test_a_signature_by_a_declared_key_is_all_it_takes(pair: SshKeyPair, home: Path, payments: Sandbox) -> None:
    before = _refunds(payments, 901)
    async with _guard(home) as guard:
        pending = await _refund(guard, 901)
        to_sign = await sign(guard, pending["approval_id"], pair)
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _refunds(payments, 901) == before + 1
    requested, approved = _approvals(home)
    assert "signed" not in requested
    actor = approved["actor"]
    assert (actor["sub"], actor["auth"], actor["assurance"], actor["tenant"]) == (
        "user:bob", "signature", "signed", "acme",
    )  # fmt: skip
    assert approved["signed"]["key"] == _fingerprint(pair)
    assert SignedDecision.of_record(approved).message() == to_sign.message
    told = json.dumps(approved | {"_t": 0, "_p": "", "signed": None})
    assert not re.search(r"(?<![0-9a-f])901(?![0-9a-f])", told), "digits of an id are none of the amount"
    assert verify(home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("signed:who")
async def test_everything_else_that_says_who_may_decide_still_holds(home: Path) -> None:
    alice = SshKeyPair()
    declare_keys(home, bob=(BOB,), dana=(DANA,), alice=(alice,))
    async with _guard(home) as guard:
        pending = await _refund(guard, 902)
        for pair, why in ((alice, rules.NOT_YOURS), (DANA, rules.NOT_YOURS), (STRANGER, "is not declared")):
            with pytest.raises(Refused, match=why):
                await sign(guard, pending["approval_id"], pair)
        to_sign = await guard.approvals.to_sign(pending["approval_id"], "approved")
        with pytest.raises(Refused, match="not for whom you name"):
            await guard.approvals.decide_signed(to_sign, BOB.armored(to_sign.message), "user:dana", None)
        assert (await guard.approvals.find(pending["approval_id"])).state == "pending"
        await sign(guard, pending["approval_id"], BOB, "denied")
        assert _code(await _ended(guard, pending["task_id"])) == ("failed", "approval_denied")
        with pytest.raises(UsageError, match="does not wait"):
            await sign(guard, pending["approval_id"], BOB)
    assert [record["verdict"] for record in _approvals(home)] == ["requested", "denied"]
    assert _approvals(home)[1]["signed"]["key"] == _fingerprint(BOB)


@pytest.mark.holds("signed:who")
async def test_a_frozen_signer_decides_nothing(home: Path, desk: Program) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 903)
        assert desk.run("freeze", "--subject", "user:bob", "--reason", "lost laptop").status == 0
        with pytest.raises(Refused, match="lost laptop"):
            await sign(guard, pending["approval_id"], BOB)
        assert (await guard.approvals.find(pending["approval_id"])).state == "pending"


@pytest.mark.holds("signed:assurance")
async def test_decisions_of_people_known_less_surely_are_refused_and_say_what_to_do(home: Path) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 904)
        for assurance in ("token", "oidc"):
            verdict: Verdict
            for verdict in ("approved", "denied"):
                with pytest.raises(Refused, match="approvals approve ID --sign KEY"):
                    await _decide(guard, "user:bob", assurance, pending["approval_id"], verdict)
        (listed,) = await guard.approvals.for_decider(_who(guard, "user:bob"))
        assert (await guard.approvals.shown(listed))["assurance"] == "signed", "they see it all the same"
        with pytest.raises(Refused, match="signature does not count"):
            await _decide(guard, "user:bob", "signed", pending["approval_id"])
        assert (await guard.approvals.find(pending["approval_id"])).state == "pending"


@pytest.mark.holds("signed:assurance")
@pytest.mark.parametrize(("wanted", "enough"), [("token", {"token", "oidc"}), ("oidc", {"oidc"})])
async def test_each_assurance_takes_itself_and_what_is_stronger(wanted: str, enough: set[str], desk: Program) -> None:
    ask_for(desk.home, wanted)
    declare_keys(desk.home, bob=(BOB,))
    async with _guard(desk.home) as guard:
        for amount, assurance in ((905, "token"), (906, "oidc")):
            pending = await _refund(guard, amount)
            decide = guard.approvals.decide(
                _who(guard, "user:bob", assurance), pending["approval_id"], "approved", "mcp"
            )
            if assurance in enough:
                await decide
                assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
            else:
                with pytest.raises(Refused, match="known more surely"):
                    await decide
        pending = await _refund(guard, 907)
        await sign(guard, pending["approval_id"], BOB)
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"


Spoil = Callable[[ToSign, ToSign], str]
FORGED: dict[str, Spoil] = {
    "of another approval": lambda _, other: BOB.armored(other.message),
    "of another verdict": lambda mine, _: BOB.armored(replace(mine, verdict="denied").message),
    "of another summary": lambda mine, _: BOB.armored(
        replace(mine, request=replace(mine.request, summary=("a refund of 9",))).message
    ),
    "of another salt": lambda mine, _: BOB.armored(replace(mine, salt="00" * 32).message),
    "of another log": lambda mine, _: BOB.armored(replace(mine, log="support-desk/other").message),
    "of another binding": lambda mine, _: BOB.armored(
        replace(mine, request=replace(mine.request, binds="0" * 64)).message
    ),
    "by somebody else in bob's name": lambda mine, _: STRANGER.armored(mine.message, key=BOB),
    "by a key nobody declared": lambda mine, _: STRANGER.armored(mine.message),
    "without a touch": lambda mine, _: BOBS_TOKEN.armored(mine.message, flags=0),
    "for another purpose": lambda mine, _: BOB.armored(mine.message, namespace=b"file"),
    "over a weaker hash": lambda mine, _: BOB.armored(mine.message, hashed=b"sha256"),
    "cut off": lambda mine, _: BOB.armored(mine.message, body=lambda body: body[:-1]),
    "with more behind": lambda mine, _: BOB.armored(mine.message, body=lambda body: body + b"\0"),
    "not armoured": lambda mine, _: b64encode(BOB.signature(mine.message)).decode(),
    "none": lambda mine, _: "",
}


@pytest.mark.holds("signed:unforgeable")
async def test_no_other_signature_counts(home: Path) -> None:
    async with _guard(home) as guard:
        mine, other = await _refund(guard, 910), await _refund(guard, 911)
        to_sign = await guard.approvals.to_sign(mine["approval_id"], "approved")
        another = await guard.approvals.to_sign(other["approval_id"], "approved")
        for case, spoil in FORGED.items():
            with pytest.raises(Refused) as caught:
                await guard.approvals.decide_signed(to_sign, spoil(to_sign, another), None, None)
            assert caught.value.code == "policy_denied", case
            assert (await guard.approvals.find(mine["approval_id"])).state == "pending", case
    assert [record["verdict"] for record in _approvals(home)] == ["requested", "requested"]


WRITTEN = {
    "a signature changed": ["UPDATE vote SET signature = substr(signature, 1, 80) || 'AAAA' || substr(signature, 85)"],
    "a signature gone": ["UPDATE vote SET signature = ''"],
    "a signature gone and the assurance lowered": [
        "UPDATE vote SET signature = '', salt = '', assurance = 'token'",
        "UPDATE approval SET assurance = ''",
    ],
    "another salt": [f"UPDATE vote SET salt = '{'00' * 32}'"],
    "another voter": ["UPDATE vote SET subject = 'user:dana'"],
    "another summary": ["UPDATE approval SET summary = '[\"a refund of 9\"]'"],
    "less asked for": ["UPDATE approval SET assurance = ''"],
    "turned around": ["UPDATE vote SET verdict = 'denied'"],
}


@pytest.mark.holds("signed:unforgeable")
@pytest.mark.parametrize("case", WRITTEN)
async def test_who_can_write_the_store_changes_no_signed_decision(case: str, home: Path, payments: Sandbox) -> None:
    before = _refunds(payments, 920)
    async with _guard(home, carrying=False) as guard:
        pending = await _refund(guard, 920)
        await sign(guard, pending["approval_id"], BOB)
    _write(home, *WRITTEN[case])
    async with _guard(home) as guard:
        assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert _refunds(payments, 920) == before


@pytest.mark.holds("signed:unforgeable")
async def test_signatures_swapped_between_two_calls_carry_out_neither(home: Path, payments: Sandbox) -> None:
    before = _refunds(payments, 921), _refunds(payments, 922)
    async with _guard(home, carrying=False) as guard:
        one, two = await _refund(guard, 921), await _refund(guard, 922)
        for pending in (one, two):
            await sign(guard, pending["approval_id"], BOB)
    (first, salt), (second, other) = _read(home, "SELECT signature, salt FROM vote ORDER BY approval")
    ids = [approval for (approval,) in _read(home, "SELECT approval FROM vote ORDER BY approval")]
    _write(
        home,
        f"UPDATE vote SET signature = '{second}', salt = '{other}' WHERE approval = '{ids[0]}'",
        f"UPDATE vote SET signature = '{first}', salt = '{salt}' WHERE approval = '{ids[1]}'",
    )
    async with _guard(home) as guard:
        for pending in (one, two):
            assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert (_refunds(payments, 921), _refunds(payments, 922)) == before


@pytest.mark.holds("signed:unforgeable")
@pytest.mark.parametrize("how", ["by a key of its own", "without a signature", "by a token", "asking for less"])
async def test_a_guard_that_lies_cannot_make_up_a_decision(how: str, home: Path, payments: Sandbox) -> None:
    """It has the store, `keys/tasks.key` and every other key but an approver's."""
    before = _refunds(payments, 930)
    async with _guard(home, carrying=False) as guard:
        pending = await _refund(guard, 930)
        parking = guard.approvals.parking
        request = await guard.approvals.find(pending["approval_id"])
        cast = Vote("user:bob", "approved", "cli", "signed", request.created_at + 1)
        if how == "by a key of its own":
            to_sign = ToSign.about(request, "approved", parking.journal.origin)
            signature = b64encode(STRANGER.signature(to_sign.message)).decode()
            cast = replace(cast, signature=signature, salt=to_sign.salt)
        if how in ("by a token", "asking for less"):
            cast = replace(cast, assurance="token")
        if how == "asking for less":
            task = await guard.tasks.find(request.task)
            assert task is not None
            content = parking.content(task)
            request = replace(request, assurance="")
            about = binding(request.tool, content.fingerprint, content.principal, content.arguments, request.rule)
            request = replace(request, binds=parking.bound(request, about))
            _write(home, f"UPDATE approval SET assurance = '', binds = '{request.binds}'")
        vote = parking.approvals.voting(request, replace(cast, seal=parking.vote_seal(request, cast)))
        woken = parking.tasks.waking(request.task, cast.voted_at)
        await parking.approvals.store.writer.submit(Unit((), work=together(vote, woken)))
        assert (await guard.approvals.find(request.id)).state == "approved"
    async with _guard(home) as guard:
        assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert _refunds(payments, 930) == before


@pytest.mark.holds("signed:revoked")
@pytest.mark.parametrize("now", [(), (DANA,), (BOBS_TOKEN,)], ids=["no key", "another's", "another"])
async def test_a_key_that_is_not_declared_any_more_approved_nothing(
    now: tuple[SshKeyPair, ...], home: Path, payments: Sandbox
) -> None:
    before = _refunds(payments, 940)
    async with _guard(home, carrying=False) as guard:
        pending = await _refund(guard, 940)
        await sign(guard, pending["approval_id"], BOB)
    declare_keys(home, bob=now)
    async with _guard(home) as guard:
        assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert _refunds(payments, 940) == before


@pytest.mark.holds("signed:revoked")
async def test_a_key_beside_others_still_counts_after_a_restart(home: Path, payments: Sandbox) -> None:
    before = _refunds(payments, 942)
    async with _guard(home, carrying=False) as guard:
        pending = await _refund(guard, 942)
        await sign(guard, pending["approval_id"], BOB)
    declare_keys(home, bob=(BOBS_TOKEN, BOB), dana=(STRANGER,))
    async with _guard(home) as guard:
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _refunds(payments, 942) == before + 1


@pytest.mark.holds("signed:revoked")
async def test_a_key_that_moved_to_somebody_else_approved_nothing(home: Path, payments: Sandbox) -> None:
    before = _refunds(payments, 941)
    async with _guard(home, carrying=False) as guard:
        pending = await _refund(guard, 941)
        await sign(guard, pending["approval_id"], BOB)
    declare_keys(home, dana=(BOB,))
    async with _guard(home) as guard:
        assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert _refunds(payments, 941) == before


@pytest.mark.holds("signed:assurance")
async def test_a_rule_that_asks_for_more_since_is_obeyed(desk: Program, payments: Sandbox) -> None:
    before = _refunds(payments, 950)
    async with _guard(desk.home, carrying=False) as guard:
        pending = await _refund(guard, 950)
        await _decide(guard, "user:bob", "token", pending["approval_id"])
    signed_home(desk.home)
    async with _guard(desk.home) as guard:
        assert _code(await _ended(guard, pending["task_id"])) == MISMATCH
    assert _refunds(payments, 950) == before


@pytest.mark.holds("signed:assurance")
async def test_a_quorum_of_signatures_takes_different_people(desk: Program, payments: Sandbox) -> None:
    ask_for(desk.home, "signed", also="; quorum=2")
    rules_file = desk.home / "policy" / "policy.csv"
    more = "g, user:erin, role:finance, acme\n"
    rules_file.write_text(rules_file.read_text(encoding="utf-8") + more, encoding="utf-8")
    declare_keys(desk.home, bob=(BOB, BOBS_TOKEN), erin=(DANA,))
    before = _refunds(payments, 960)
    async with _guard(desk.home) as guard:
        pending = await _refund(guard, 960)
        await sign(guard, pending["approval_id"], BOB)
        with pytest.raises(UsageError, match="decided this already"):
            await sign(guard, pending["approval_id"], BOBS_TOKEN)
        assert (await guard.approvals.find(pending["approval_id"])).state == "pending"
        await sign(guard, pending["approval_id"], DANA)
        assert (await _ended(guard, pending["task_id"]))["status"] == "completed"
    assert _refunds(payments, 960) == before + 1


@pytest.mark.holds("signed:record")
async def test_what_was_shown_can_be_proven_until_it_is_erased(home: Path) -> None:
    async with _guard(home) as guard:
        pending = await _refund(guard, 970)
        to_sign = await sign(guard, pending["approval_id"], BOB)
        await _ended(guard, pending["task_id"])
        shown = _approvals(home)[1]["signed"]["shown"]
        assert shown == digest_of_shown(bytes.fromhex(to_sign.salt), to_sign.request.summary)
        assert "amount: 970" in to_sign.request.summary
    async with open_erasing(load(home, environ={})) as admin:
        await admin.erase(Wanted("call", to_sign.request.call), "ticket 812")
    assert to_sign.salt.encode() not in (home / "var" / "guard.db").read_bytes()
    assert _approvals(home)[1]["signed"]["shown"] == shown
    assert verify(home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("signed:assurance")
async def test_a_step_of_a_workflow_can_ask_for_a_signature(desk: Program) -> None:
    add_flow(desk.home)
    manifest = desk.home / "tool_manifests" / MANIFEST.name
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("expires: 1h, summary", "expires: 1h, assurance: signed, summary"), "utf-8")
    declare_keys(desk.home, dana=(DANA,))
    arguments = {"name": "a", "then": "b", "amount": 5, "secret": "s", "justification": "they asked"}
    async with _guard(desk.home) as guard:
        sent = ToolCall(guard.new_call_id(), "things_open", arguments)
        answer = await guard.call(_who(guard, "user:alice"), sent)
        found: Any = answer.structured["guard"]
        async with asyncio.timeout(60):
            while not (waiting := await guard.approvals.all()):
                await guard.tasks.status(_who(guard, "user:alice"), found["task_id"], 1)
        with pytest.raises(Refused, match="--sign KEY"):
            await _decide(guard, "user:dana", "token", waiting[0].id)
        await sign(guard, waiting[0].id, DANA)
        assert (await _ended(guard, found["task_id"]))["status"] == "completed"
    assert [record["actor"]["assurance"] for record in _approvals(desk.home)] == ["token", "signed"]
