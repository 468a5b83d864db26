"""Hot reload: what the files of a home say comes in force while calls run, or is refused and what is in force stays.

A change is read once two looks in a row find the files the same, so that nobody's half-written file is taken for a
policy. It is built off the event loop, its policy tests run, it is put on record, and only then does it take the old
one's place, by one assignment: no call is decided by half of each.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mcp_guard.build.change import Waiting, judge
from mcp_guard.build.definition import Definition, observing
from mcp_guard.build.live import Live
from mcp_guard.build.questions import define_tested
from mcp_guard.build.watch import Stamp, stamp_of
from mcp_guard.config.load import load
from mcp_guard.model.errors import Invalid, StoreUnavailable
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    from mcp_guard.admin.change_control import ChangeControl
    from mcp_guard.audit.journal import Journal
    from mcp_guard.config.settings import Settings
    from mcp_guard.pipeline import Pipeline

_log = logging.getLogger("mcp_guard.reload")

RENEWED = ("limits", "results")
"""What of `mcp-guard.yaml` comes in force while calls run."""
WATCH_SECONDS = 1.0
"""How often the files are looked at. A change is in force within about twice that."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force, for status: the version of its policy, the tools at which that is only observed, and what keeps
    the files from being in force."""

    policy: str
    tools: int
    reload: Literal["ok", "refused", "waiting"] = "ok"
    problems: Sequence[Problem] = ()
    observed: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        definition: Definition,
        reload: Literal["ok", "refused", "waiting"] = "ok",
        problems: Sequence[Problem] = (),
    ) -> "Standing":
        catalog = definition.catalog
        return cls(definition.policy.version, len(catalog), reload, tuple(problems), catalog.observed)

    def as_dict(self) -> Mapping[str, object]:
        shown: dict[str, object] = {"policy": self.policy, "tools": self.tools, "reload": self.reload}
        if self.observed:
            shown["observed"] = list(self.observed)
        if self.problems:
            shown["problems"] = [problem.as_dict() for problem in self.problems]
        return shown


class Reloader:
    """Keeps a live definition up to date with the files it came from."""

    def __init__(
        self,
        live: Live,
        journal: "Journal",
        pipeline: "Pipeline",
        stamp: Stamp,
        control: "ChangeControl | None" = None,
    ) -> None:
        """`stamp` is the look of the files before the live definition was read from them; `control` holds back what
        lets more through."""
        self._live = live
        self._home = live.definition.home
        self._journal = journal
        self._pipeline = pipeline
        self._control = control
        self._judged = self._moving = stamp
        self._started_with = live.definition.home.settings
        self._stays = False
        self._waiting: str | None = None

    async def watch(self) -> None:
        """Look for changes for ever."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(StoreUnavailable):  # what cannot be put on record is not done; the next look tries again
                await self.look()

    async def look(self) -> None:
        """One look at the files. Raises `StoreUnavailable` where a verdict about them could not be recorded."""
        stamp = await asyncio.to_thread(stamp_of, self._home)
        settled, self._moving = stamp == self._moving, stamp
        if not settled or (stamp == self._judged and not await self._was_confirmed()):
            return
        try:
            definition = await asyncio.to_thread(self._define)
            if await asyncio.to_thread(stamp_of, self._home) != stamp:
                return
            await self._take_over(definition)
        except Invalid as error:
            await self._keep("refused", error.problems)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a file made us stumble over, what is in force stays
            what = f"reading the files failed unexpectedly ({type(error).__name__})"
            await self._keep("refused", [Problem("internal", what, self._home.directory.name)])
        self._judged = stamp

    async def _was_confirmed(self) -> bool:
        return (
            self._control is not None and self._waiting is not None and await self._control.is_confirmed(self._waiting)
        )

    async def _take_over(self, definition: Definition) -> None:
        before = self._live.definition
        if not self._stays and definition.says_the_same(before):
            return
        accept = None
        if self._control is not None:
            verdict = await judge(self._control, definition)
            if isinstance(verdict, Waiting):
                await self._keep("waiting", [verdict.as_problem()], change=verdict.change)
                self._waiting = verdict.change
                return
            accept = verdict
        generation = self._live.prepare(definition)
        standing = Standing.of(definition)
        await self._journal.config(_reloaded(before, definition), standing=standing.as_dict(), work=accept)
        self._live.replace(definition, generation, self._pipeline.settled)
        self._stays, self._waiting = False, None
        _log.info("the files of the home are in force", extra={"policy": definition.policy.version[:12]})
        if definition.catalog.observed:
            _log.warning("%s", observing(definition.catalog.observed))

    async def _keep(self, verdict: Literal["refused", "waiting"], problems: Sequence[Problem], **more: str) -> None:
        """Keep what is in force, and say so everywhere."""
        before, first = self._live.definition, problems[0]
        standing = Standing.of(before, verdict, problems)
        state = {
            "what": f"reload-{verdict}",
            "policy": before.policy.version,
            "problems": len(problems),
            "code": first.code,
            "file": first.file,
            "line": first.line,
            **more,
        }
        await self._journal.config(state, standing=standing.as_dict())
        self._stays, self._waiting = True, None
        for problem in problems:
            _log.error("not reloaded: %s", problem)

    def _define(self) -> Definition:
        """What the files say now. Of the configuration what `RENEWED` names; the rest is read at the next start, and so
        is all of it under change control: it is not held against what people confirmed. Raises `Invalid`."""
        found = load(self._home.directory).settings
        renewed = () if self._control is not None else RENEWED
        self._mention_configuration(found, renewed)
        settings = self._home.settings.model_copy(update={name: getattr(found, name) for name in renewed})
        return define_tested(replace(self._home, settings=settings))

    def _mention_configuration(self, found: "Settings", renewed: Sequence[str]) -> None:
        aside = {*renewed, "server"}  # where it listens may have been said on the command line
        said, before = found.model_dump(exclude=aside), self._started_with.model_dump(exclude=aside)
        if said != before:
            self._started_with = found
            changed = ", ".join(sorted(name for name in said if said[name] != before[name]))
            _log.warning("mcp-guard.yaml changed: %s is read at the next start", changed)


def _reloaded(old: Definition, new: Definition) -> Mapping[str, object]:
    """The `state` of the record: both policy versions, and how many tools and principals came, went or changed, and
    which parts of the configuration."""
    return {
        "what": "reloaded",
        "old": old.policy.version,
        "new": new.policy.version,
        "tools": _moved(_fingerprints(old), _fingerprints(new)),
        "principals": _moved(old.directory.profiles, new.directory.profiles),
        **({"settings": said} if (said := _renewed(old, new)) else {}),
    } | ({"observed": list(new.catalog.observed)} if new.catalog.observed else {})


def _renewed(old: Definition, new: Definition) -> list[str]:
    """What of the configuration is not what it was."""
    return [name for name in RENEWED if getattr(old.home.settings, name) != getattr(new.home.settings, name)]


def _fingerprints(definition: Definition) -> Mapping[str, object]:
    return {name: entry.tool.fingerprint for name, entry in definition.catalog.items()}


def _moved(old: Mapping[str, object], new: Mapping[str, object]) -> Mapping[str, int]:
    both = old.keys() & new.keys()
    return {
        "added": len(new.keys() - both),
        "removed": len(old.keys() - both),
        "changed": sum(old[name] != new[name] for name in both),
    }
