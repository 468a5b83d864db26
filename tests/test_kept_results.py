"""A result that is too large for one answer: its beginning is answered, the rest kept for its caller alone."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mcp_guard.admin.result_reading import ResultReader
from mcp_guard.audit.erasure import Wanted
from mcp_guard.audit.verify import verify
from mcp_guard.build import Guard, open_erasing, open_freezing
from mcp_guard.config.load import load
from mcp_guard.kit.places import HIDDEN
from mcp_guard.model.call import Answer
from mcp_guard.model.errors import Refused, StoreUnavailable
from mcp_guard.model.kept import kept_in
from mcp_guard.model.principal import Principal
from mcp_guard.results.store import Bounds, Owner, Result
from mcp_guard.server.results import advertised_output_schema
from tests.inside import call, ended, opened, records, task_of, who
from tests.large import SECRET, add_large
from tests.simulators.clock import FakeClock
from tests.simulators.disk import Disk
from tests.simulators.process import Program

KIB = 1024


@pytest.fixture
def home(desk: Program) -> Path:
    add_large(desk.home)
    return desk.home


@pytest.fixture
async def guard(home: Path) -> AsyncIterator[Guard]:
    async with opened(home) as guard:
        yield guard


def kept(answer: Answer) -> dict[str, Any]:
    found = kept_in(answer.structured)
    assert found is not None, answer.structured
    return dict(found)


async def whole(guard: Guard, principal: Principal, identifier: str) -> Any:
    text, number = "", 1
    while True:
        page: Any = await guard.read_result(principal, identifier, number)
        text += page["part"]
        if number == page["pages"]:
            return json.loads(text)
        number += 1
        assert page["next"] == f"result://{identifier}?page={number}"


async def refused(
    reader: Guard | ResultReader, principal: Principal, identifier: str, page: int = 1
) -> tuple[Any, ...]:
    reading = reader.read if isinstance(reader, ResultReader) else reader.read_result
    with pytest.raises(Refused) as error:
        await reading(principal, identifier, page)
    refusal = error.value
    return refusal.code, refusal.reason, refusal.rule, refusal.effect


def change(home: Path, statement: str, *parameters: object) -> None:
    """What somebody does who can write the store and has no key."""
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        database.execute(statement, parameters)
        database.commit()


def everything(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (home / "var").glob("guard.db*"))


def rows(home: Path, table: str) -> int:
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


@pytest.mark.holds("kept:answer", "kept:pages")
async def test_the_answer_has_the_beginning_and_a_link_and_the_link_has_all(guard: Guard, home: Path) -> None:
    answer = await call(guard, "large_rows", size=200)
    alice, found = who(guard, "user:alice"), kept(answer)
    assert (answer.is_error, answer.exit_code) == (False, 0)
    wire: Any = answer.on_the_wire()
    note, start, link = wire["content"]
    assert note["text"].startswith("NOT COMPLETE: ")
    assert (link["type"], link["uri"], link["size"]) == ("resource_link", found["uri"], found["bytes"])
    beginning = json.loads(start["text"])
    assert beginning == wire["structuredContent"]["beginning"]
    assert len(start["text"].encode()) <= 2 * KIB
    all_of_it = await whole(guard, alice, found["id"])
    assert len(all_of_it["rows"]) == 2048
    assert all_of_it["rows"][: len(beginning["rows"]) - 1] == beginning["rows"][:-1]
    [outcome] = records(home, "outcome")
    assert outcome["kept"]["len"] == found["bytes"]
    reads = [record["state"] for record in records(home, "read") if record["state"]["what"] == "result"]
    assert [(state["page"], state["call"]) for state in reads] == [(n + 1, answer.call) for n in range(found["pages"])]
    assert verify(home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("kept:redacted")
async def test_what_is_hidden_is_not_in_what_is_kept(guard: Guard, home: Path, payments_secret: str) -> None:
    answer = await call(guard, "large_rows", size=200)
    assert (await whole(guard, who(guard, "user:alice"), kept(answer)["id"]))["email"] == HIDDEN
    await call(guard, "payments_refund", order_id="ORD-1002", amount=3)  # from here on the secret is known
    leaking = await call(guard, "large_key", size=40, value=payments_secret)
    shown = await whole(guard, who(guard, "user:alice"), kept(leaking)["id"])
    assert payments_secret not in json.dumps([leaking.on_the_wire(), shown])


@pytest.mark.holds("kept:sensitive")
async def test_what_is_sensitive_is_shown_to_its_caller_and_stands_nowhere_in_clear(guard: Guard, home: Path) -> None:
    answer = await call(guard, "large_act", size=100)
    assert answer.structured["beginning"]["email"] == SECRET  # type: ignore[index]  # as of any result
    assert (await whole(guard, who(guard, "user:alice"), kept(answer)["id"]))["email"] == SECRET
    assert SECRET.encode() not in everything(home)
    assert "ü".encode() * 40 in everything(home), "what is not sensitive of the beginning stands beside the record"


@pytest.mark.holds("kept:schema")
async def test_what_is_answered_instead_is_what_the_advertised_schema_allows(guard: Guard) -> None:
    answer = await call(guard, "large_typed", size=100)
    schema = advertised_output_schema(guard.definition.catalog["large_typed"].tool.output_schema)
    assert schema is not None
    assert jsonschema_rs.validator_for(dict(schema)).is_valid(dict(answer.structured))
    assert kept(answer)["pages"] > 1


@pytest.mark.holds("kept:owner")
async def test_nobody_else_reads_it_and_they_cannot_tell_it_from_none(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    found = kept(await call(guard, "large_rows", size=100))
    unknown = await refused(guard, alice, "0" * 32)
    strangers = [
        who(guard, "user:bob"),
        who(guard, "user:mallory"),
        who(guard, "user:alice", "agent:untrusted"),
        replace(alice, tenant="globex"),
        replace(alice, chain=("agent:other",)),
    ]
    for stranger in strangers:
        assert await refused(guard, stranger, found["id"]) == unknown
    assert await refused(guard, alice, found["id"], found["pages"] + 1) == unknown
    denied = [record for record in records(home, "read") if record["state"].get("effect") == "deny"]
    assert [record["actor"]["sub"] for record in denied][1:6] == [stranger.subject for stranger in strangers]
    assert await whole(guard, alice, found["id"])


@pytest.mark.holds("kept:revoked")
async def test_who_may_not_use_the_tool_any_more_reads_nothing_of_it(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    found = kept(await call(guard, "large_rows", size=100))
    async with open_freezing(load(home, environ={})) as freezing:
        await freezing.freeze("tool:large_rows", "for now")
        code, *_ = await refused(guard, alice, found["id"])
        assert code == "frozen"
        await freezing.unfreeze("tool:large_rows")
    assert await guard.read_result(alice, found["id"], 1)
    mallory, asked = who(guard, "user:mallory"), guard.results.decide
    reader = replace(guard.results, decide=lambda _, act, name: asked(mallory, act, name))
    assert await refused(reader, alice, found["id"]) == await refused(guard, alice, "0" * 32)


FORGERIES = (
    ("UPDATE kept_result SET subject = 'user:bob' WHERE id = ?",),
    ("UPDATE kept_result SET expires_at = expires_at + 3600000000 WHERE id = ?",),
    ("UPDATE kept_result SET tool = 'large_rows' WHERE id = ?",),
    ("UPDATE kept_page SET sealed = zeroblob(length(sealed)) WHERE result = ?",),
    ("UPDATE kept_page SET sealed = x'00' WHERE result = ?",),
    ("DELETE FROM kept_page WHERE page = 1 AND result = ?",),
    (
        "UPDATE kept_page SET page = -page WHERE result = ?",
        "UPDATE kept_page SET page = 3 + page WHERE page < 0 AND result = ?",
    ),
)


@pytest.mark.holds("kept:sealed")
async def test_a_row_that_was_changed_or_moved_opens_for_nobody(guard: Guard, home: Path) -> None:
    alice, bob = who(guard, "user:alice"), who(guard, "user:bob")
    unknown = await refused(guard, alice, "0" * 32)
    for statements in FORGERIES:
        found = kept(await call(guard, "large_act", size=70))
        assert found["pages"] == 2
        for statement in statements:
            change(home, statement, found["id"])
        assert await refused(guard, alice, found["id"]) == unknown, statements
        assert await refused(guard, bob, found["id"]) == unknown, statements
    assert {fault["state"]["code"] for fault in records(home, "fault")} == {"result"}


@pytest.mark.holds("kept:sealed")
async def test_a_page_of_somebody_elses_result_does_not_open_in_ones_own(guard: Guard, home: Path) -> None:
    first, second = [kept(await call(guard, "large_act", size=70)) for _ in range(2)]
    change(home, "DELETE FROM kept_page WHERE result = ?", second["id"])
    change(home, "UPDATE kept_page SET result = ? WHERE result = ?", second["id"], first["id"])
    await refused(guard, who(guard, "user:alice"), second["id"])


@pytest.mark.holds("kept:bounded")
async def test_the_oldest_of_ones_own_goes_and_nobody_fills_the_disk(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    found = [kept(await call(guard, "large_rows", size=100))["id"] for _ in range(4)]
    await refused(guard, alice, found[0])
    for identifier in found[1:]:
        await guard.read_result(alice, identifier, 1)
    large = kept(await call(guard, "large_rows", size=480))["id"]  # with it alone there is room for no other
    assert rows(home, "kept_result") == 1
    await guard.read_result(alice, large, 1)
    too_large = await call(guard, "large_rows", size=600)
    told: Any = too_large.structured["guard"]
    assert (told["code"], told["executed"]) == ("upstream_too_large", "yes")
    change(home, "UPDATE kept_result SET subject = 'user:bob', size = 900000")
    full = await call(guard, "large_rows", size=150)
    told = full.structured["guard"]
    assert (told["code"], rows(home, "kept_result")) == ("upstream_too_large", 1)
    assert "no room" in told["reason"]


@pytest.mark.holds("kept:untold")
async def test_what_a_killed_process_did_not_tell_of_takes_nobodys_room(home: Path) -> None:
    program = Program(home)
    asking = ("--json", "call", "large_rows", "size=100", "--token", program.token("user:alice"))
    for _ in range(4):
        killed = program.run(*asking, environ={"MCP_GUARD_FAILPOINT": "audit.before-outcome"})
        assert killed.status < 0, killed.err
    assert 1 <= rows(home, "kept_result") <= 3
    done = program.run(*asking)
    assert kept_in(done.json["structuredContent"]) is not None, done.out
    assert rows(home, "kept_result") == 1, "what was not told of made room"
    killed = program.run(*asking, environ={"MCP_GUARD_FAILPOINT": "audit.before-outcome"})
    async with opened(home) as guard:
        await guard.results.sweep()
    assert rows(home, "kept_result") == 1
    assert verify(home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("kept:untold")
async def test_what_a_living_process_is_about_to_tell_of_stays(guard: Guard, home: Path) -> None:
    store, alice = guard.results.results, who(guard, "user:alice")
    result = Result("a" * 32, Owner.of(alice), "large_rows", "b" * 32, 4, 1, 4_000_000_000_000_000)
    await store.keep(result, [b"null"], Bounds(3, 2**20, 2**20), 1)
    program = Program(home)
    done = program.run("--json", "call", "large_rows", "size=100", "--token", program.token("user:alice"))
    assert kept_in(done.json["structuredContent"]) is not None, done.out
    await guard.results.sweep()
    assert rows(home, "kept_result") == 2


@pytest.mark.holds("kept:expires")
async def test_it_is_gone_when_its_time_is_over(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    found = kept(await call(guard, "large_rows", size=100))
    clock = FakeClock(guard.results.clock.now_us())
    reader = replace(guard.results, clock=clock)
    clock.advance(3590)
    assert await reader.read(alice, found["id"], 1)
    await reader.sweep()
    assert rows(home, "kept_page") == found["pages"]
    clock.advance(20)
    assert await refused(reader, alice, found["id"]) == await refused(guard, alice, "0" * 32)
    await reader.sweep()
    assert (rows(home, "kept_result"), rows(home, "kept_page")) == (0, 0)


@pytest.mark.holds("kept:erased")
async def test_erasing_removes_what_is_kept(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    answers = [await call(guard, "large_rows", size=100) for _ in range(3)]
    with closing(sqlite3.connect(home / "var" / "guard.db")) as database:
        sealed = dict(database.execute("SELECT result, sealed FROM kept_page WHERE page = 1").fetchall())
    first, second, third = answers
    assert second.receipt is not None
    wanted = [
        (first, Wanted("call", first.call)),
        (second, Wanted("field", "kept", second.receipt.n)),
        (third, Wanted("subject", "user:alice")),
    ]
    async with open_erasing(load(home, environ={})) as erasing:
        for answer, what in wanted:
            assert (await erasing.erase(what, "they asked for it", dry_run=True)).results == 1
            assert (await erasing.erase(what, "they asked for it")).results == 1
            assert (await erasing.erase(what, "they asked for it")).results == 0
            await refused(guard, alice, kept(answer)["id"])
            assert sealed[kept(answer)["id"]][100:400] not in everything(home)
    said = [record["state"] for record in records(home, "erase")]
    assert [state["results"] for state in said if "results" in state] == [1, 1, 1]
    assert verify(home / "var" / "guard.db", deep=True).ok


@pytest.mark.holds("kept:tool")
async def test_a_tool_says_how_much_an_answer_carries_and_whether_more_is_kept(guard: Guard, home: Path) -> None:
    refusing = await call(guard, "large_refused", size=8)
    told: Any = refusing.structured["guard"]
    assert (refusing.is_error, told["code"]) == (True, "upstream_too_large")
    assert rows(home, "kept_result") == 0
    assert kept(await call(guard, "large_small", size=8))["pages"] == 1
    assert kept_in((await call(guard, "large_rows", size=8)).structured) is None


@pytest.mark.holds("kept:tasks")
async def test_a_task_tells_of_it_and_a_step_of_a_workflow_has_all_or_nothing(guard: Guard, home: Path) -> None:
    alice = who(guard, "user:alice")
    pending = await call(guard, "large_asked", size=100)
    told: Any = pending.structured["guard"]
    await guard.approvals.decide(who(guard, "user:bob"), told["approval_id"], "approved", "mcp")
    shown = await ended(guard, task_of(pending))
    found = kept_in(shown["result"])
    assert found is not None
    assert len((await whole(guard, alice, str(found["id"])))["rows"]) == 1024
    flow = await call(guard, "large_flow")
    guarded: Any = flow.structured["guard"]
    if "task_id" in guarded and guarded["code"] == "task_working":
        guarded = (await ended(guard, task_of(flow)))["result"]["guard"]
    assert guarded["code"] == "upstream_too_large"
    assert rows(home, "kept_result") == 1


@pytest.mark.holds("kept:durable")
async def test_on_a_full_disk_the_result_is_refused_and_its_outcome_recorded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with suppress(StoreUnavailable):  # that it stopped is not written so soon after
        async with opened(home) as guard:
            await call(guard, "large_act", size=1)  # from here on space is set aside for endings
            disk.fail_while("SQLITE_FULL", (home / "var" / "guard.db.ballast").exists)
            disk.arm()
            answer = await call(guard, "large_rows", size=100)
            disk.mend()
            told: Any = answer.structured["guard"]
            assert (told["code"], told["executed"]) == ("upstream_too_large", "yes")
    outcome = records(home, "outcome")[-1]
    assert (outcome["status"], outcome["code"]) == ("error", "upstream_too_large")
    assert rows(home, "kept_result") == 0
