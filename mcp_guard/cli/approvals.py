"""`mcp-guard approvals …`: what waits for people, and what they say."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mcp_guard.cli.grants import approve_and_grant, granting, grants, revoke
from mcp_guard.cli.opened import with_guard
from mcp_guard.cli.output import Output, pass_output, printable
from mcp_guard.cli.signatures import signatures
from mcp_guard.cli.webhooks import webhooks
from mcp_guard.cli.who import Who, acting
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.admin.grants import WantedGrant
    from mcp_guard.approval.request import ApprovalRequest
    from mcp_guard.approval.store import Verdict
    from mcp_guard.build import Guard

    _Decide = Callable[[Guard], Awaitable[ApprovalRequest]]

_COLUMNS = ("id", "tool", "requester", "what", "approvers", "expires", "state")
_SHORT = 12
_MOST = 500
_signing = click.option(
    "--sign",
    "key",
    metavar="KEY",
    type=click.Path(exists=True, dir_okay=False),
    help="Sign with this SSH key of yours (ssh-keygen does): no token is needed.",
)


@click.group()
def approvals() -> None:
    """List, show and decide what waits for people."""


approvals.add_command(webhooks)


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was decided, withdrawn or has expired.")
@click.option("--requester", help="Only what this person or service asked for.")
@pass_output
def list_approvals(output: Output, *, everything: bool, requester: str | None) -> None:
    """What waits for a decision, oldest first. Sensitive values are left out; `show` has the rest.

    Where more than 500 wait, some of everybody's are shown, and said on stderr.
    """

    async def ask(guard: "Guard") -> list[Mapping[str, Any]]:
        from mcp_guard.model.moves import ApprovalState

        state = None if everything else ApprovalState.PENDING
        found = await guard.approvals.all(state, requester=requester)
        return [await guard.approvals.shown(request) for request in found]

    shown = with_guard(output, ask)
    rows = [
        (
            row["id"][:_SHORT],
            row["tool"],
            row["requester"],
            ", ".join(row["summary"][1:]),
            " ".join(row["approvers"]),
            row["expires_at"],
            _state(row),
        )
        for row in shown
    ]
    output.table(shown, _COLUMNS, rows)
    if not shown:
        output.note("nothing waits")
    elif len(shown) >= _MOST:
        output.note(f"there may be more than these {_MOST}: --requester NAME shows all of somebody's")


@approvals.command()
@click.argument("identifier", metavar="ID")
@click.option("--values", is_flag=True, help="Sensitive values too; this is on record.")
@acting
@pass_output
def show(
    output: Output, *, identifier: str, values: bool, subject: str | None, client: str | None, token: str | None
) -> None:
    """One approval: what exactly was asked, by whom, under which rule, and what was said so far."""

    async def ask(guard: "Guard") -> Mapping[str, Any]:
        request = await guard.approvals.find(identifier)
        if values:
            return await guard.approvals.values(await Who(subject, client, token).principal(guard), request)
        return await guard.approvals.shown(request)

    row = with_guard(output, ask)
    lines = [
        *row["summary"],
        "",
        f"asked by {row['requester']} through {row['via']} in {row['tenant']}",
        f"rule {row['rule']}: {row['reason']}",
        f"for {' or '.join(row['approvers'])}; {row['quorum']} of them; until {row['expires_at']}",
        *_escalation(row["escalation"]),
        f"state: {_state(row)}; task {row['task_id']}",
        *map(_said, row["decisions"]),
        f"binds {row['binds']}",
    ]
    if values:
        lines += ["", json.dumps(row["arguments"], indent=2)]
    output.data(row, lines)


@approvals.command()
@click.argument("identifier", metavar="ID")
@granting
@_signing
@acting
@pass_output
def approve(
    output: Output,
    *,
    identifier: str,
    key: str | None,
    wanted: "WantedGrant | None",
    subject: str | None,
    client: str | None,
    token: str | None,
) -> None:
    """Approve a waiting call. This only decides: a serving process carries it out.

    With --for and --uses the same requester may make so many further calls like it in that time without asking again:
    with the very same arguments, or with --same-shape. What that admits is said before it is recorded.
    """
    _decide(output, identifier, "approved", Who(subject, client, token), key, wanted=wanted)


@approvals.command()
@click.argument("identifier", metavar="ID")
@_signing
@acting
@pass_output
def deny(
    output: Output, *, identifier: str, key: str | None, subject: str | None, client: str | None, token: str | None
) -> None:
    """Deny a waiting call. It never happens."""
    _decide(output, identifier, "denied", Who(subject, client, token), key)


@approvals.command()
@pass_output
@click.pass_context
def watch(ctx: click.Context, output: Output) -> None:
    """Show what waits, and then whatever is asked, escalated, decided, withdrawn or expires, until interrupted.

    One line for each event; with --json a document for each.
    """
    from mcp_guard.cli.approvals_watch import follow

    ctx.exit(follow(output))


def _escalation(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    whom = " or ".join(found["to"])
    return [f"escalated to {whom}" if found["escalated"] else f"escalates to {whom} at {found['at']}"]


def _said(decision: Mapping[str, Any]) -> str:
    how = ", ".join((decision["channel"], decision["assurance"], *(["hasty"] if decision["hasty"] else [])))
    return f"  {decision['verdict']} by {decision['subject']} ({how})"


def _state(row: Mapping[str, Any]) -> str:
    marks = ("forged" if row.get("forged") else "", "hasty" if any(said["hasty"] for said in row["decisions"]) else "")
    marked = ", ".join(filter(None, marks))
    return f"{row['state']} ({marked})" if marked else str(row["state"])


def _decide(
    output: Output,
    identifier: str,
    verdict: "Verdict",
    who: Who,
    key: str | None,
    *,
    wanted: "WantedGrant | None" = None,
) -> None:
    if key is not None and wanted is not None:
        raise UsageError("--sign excludes --for.", hint="a grant is not signed: nobody signs calls nobody has made")
    decide = _deciding(identifier, verdict, who) if key is None else _signed(output, identifier, verdict, who, key)

    async def ask(guard: "Guard") -> tuple[Mapping[str, Any], bool]:
        if wanted is None:
            return await guard.approvals.shown(await decide(guard)), guard.somebody_serves()
        request, grant = await approve_and_grant(output, guard, await who.principal(guard), identifier, wanted)
        return {**await guard.approvals.shown(request), "grant": grant}, guard.somebody_serves()

    row, served = with_guard(output, ask)
    output.data(row, (f"{row['state']}: {row['summary'][0]} ({row['id'][:_SHORT]})",))
    if row["state"] == "approved" and not served:
        output.note(f"no process serves this home now: `mcp-guard tasks resume {row['task_id']}` carries it out")


def _deciding(identifier: str, verdict: "Verdict", who: Who) -> "_Decide":
    async def decide(guard: "Guard") -> "ApprovalRequest":
        return await guard.approvals.decide(await who.principal(guard), identifier, verdict, "cli")

    return decide


def _signed(output: Output, identifier: str, verdict: "Verdict", who: Who, key: str) -> "_Decide":
    """Show what is about to be signed and have it signed. Nothing is held open while a person thinks."""
    from mcp_guard.cli.signing import sign
    from mcp_guard.model.signed_decision import NAMESPACE

    if who.token is not None:
        raise UsageError("--sign excludes --token.", hint="the signature says who decides")
    to_sign = with_guard(output, lambda guard: guard.approvals.to_sign(identifier, verdict))
    asked, message = to_sign.request, to_sign.message
    shown = (
        *asked.summary,
        f"asked by {asked.requester} through {asked.client} in {asked.tenant}",
        f"rule {asked.rule}: {asked.reason}",
        f"what is signed ({NAMESPACE}):",
        *(f"  {line}" for line in message.decode().splitlines()),
    )
    for line in shown:
        click.echo(printable(line), err=True)
    armored = sign(key, message, NAMESPACE)
    return lambda guard: guard.approvals.decide_signed(to_sign, armored, who.subject, who.client)


approvals.add_command(grants)
approvals.add_command(signatures)
approvals.add_command(revoke)
