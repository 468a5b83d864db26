"""From split lines to rows and links: every column checked, every complaint with its place.

Nothing here is repaired. What stock Casbin would drop, ignore or read differently is an error.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mcp_guard.model.decision import Effect, Obligations
from mcp_guard.model.problem import Problem, Severity
from mcp_guard.policy import names, obligations
from mcp_guard.policy.condition import Condition, ConditionError, compile_condition
from mcp_guard.policy.model_file import COLUMNS
from mcp_guard.policy.obligations import ObligationError
from mcp_guard.policy.roles import Link
from mcp_guard.policy.scan import Field, Line

_LINK_COLUMNS = 3
_PREFIXES = "names start with user: service: agent: or role:"


@dataclass(frozen=True, slots=True)
class Row:
    """One `p` row. `line` is where it stands; the order of lines only decides which of several rows is named."""

    id: str
    who: str
    via: str
    tenant: str
    act: str
    tool: str
    when: Condition
    effect: Effect
    then: Obligations
    why: str
    line: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the `tool` column may name: tools and resources, and the tools' tags."""

    tools: frozenset[str]
    tags: frozenset[str]

    @classmethod
    def of(cls, tools: Mapping[str, Iterable[str]]) -> "Vocabulary":
        tags = frozenset(tag for found in tools.values() for tag in found)
        return cls(frozenset(tools) | names.RESOURCES, tags)


@dataclass
class Reader:
    """Reads lines one after the other and remembers what is wrong with them."""

    shown_as: str
    vocabulary: Vocabulary
    rows: list[Row] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    errors: int = 0
    _lines_by_id: dict[str, int] = field(default_factory=dict)
    _conditions: dict[str, Condition | ConditionError] = field(default_factory=dict)

    def read(self, lines: Iterable[Line]) -> None:
        for line in lines:
            match line.kind:
                case "p":
                    self._row(line)
                case "g":
                    self._link(line)
                case "g2":
                    hint = "tags come from the tools' manifests; delete the row"
                    self._complain(line, line.fields[0], "tags_in_policy", "a policy file holds no g2 rows", hint)
                case kind:
                    hint = names.did_you_mean(kind, ("p", "g")) or "rows start with p (rules) or g (roles)"
                    self._complain(line, line.fields[0], "row_type", f"`{kind[:20]}` is not a type of row", hint)

    def _complain(
        self,
        line: Line,
        place: Field,
        code: str,
        message: str,
        hint: str = "",
        *,
        offset: int = 0,
        warning: bool = False,
    ) -> None:
        column = place.column + offset
        severity: Severity = "warning" if warning else "error"
        self.errors += not warning
        self.problems.append(Problem(code, message, self.shown_as, line.number, column, hint, severity))

    # --- p rows ------------------------------------------------------------------------------------------------

    def _row(self, line: Line) -> None:
        if len(line.fields) - 1 != len(COLUMNS):
            self._wrong_count(line)
            return
        before = self.errors
        column = dict(zip(COLUMNS, line.fields[1:], strict=True))
        self._check_id(line, column["id"])
        self._check_name(line, column["who"], "who", names.is_who, _PREFIXES)
        self._check_name(line, column["via"], "via", names.is_via, "agents are named agent:… or role:…")
        self._check_name(line, column["tenant"], "tenant", names.is_tenant, "a tenant is a plain name")
        self._check_act(line, column["act"])
        self._check_tool(line, column["tool"])
        self._check_why(line, column["why"])
        when = self._condition(line, column["when"], column["act"].text)
        effect = self._effect(line, column["eft"], column["act"].text)
        then = self._then(line, column, effect)
        if self.errors > before or when is None or effect is None or then is None:
            return
        text = {name: place.text for name, place in column.items()}
        where = (text["who"], text["via"], text["tenant"], text["act"], text["tool"])
        self.rows.append(Row(text["id"], *where, when, effect, then, text["why"], line.number))

    def _wrong_count(self, line: Line) -> None:
        found, wanted = len(line.fields) - 1, len(COLUMNS)
        if found > wanted and line.fields[8].text in names.EFFECTS:
            hint = "use `;` or a dash; Casbin splits the row at every comma outside brackets"
            self._complain(line, line.fields[wanted + 1], "comma_in_why", "there is a comma in `why`", hint)
            return
        hint = "columns: " + ", ".join(COLUMNS) + "; a comma inside a column needs brackets around it"
        self._complain(line, line.fields[0], "column_count", f"a rule has {wanted} columns; here are {found}", hint)

    def _check_id(self, line: Line, place: Field) -> None:
        if place.text.startswith(names.RESERVED):
            self._complain(
                line, place, "reserved_id", f"ids starting with {names.RESERVED} are the server's", "rename the row"
            )
        elif not names.is_row_id(place.text):
            hint = "letters, digits and . _ - : /"
            self._complain(line, place, "row_id", "a row's id is a plain name", hint)
        elif first := self._lines_by_id.get(place.text):
            message = f"`{place.text}` is already the id of the row in line {first}"
            self._complain(line, place, "duplicate_id", message, "rename one of them")
        else:
            self._lines_by_id[place.text] = line.number

    def _check_name(self, line: Line, place: Field, what: str, is_name: Callable[[str], bool], hint: str) -> None:
        if place.text == names.EVERY or is_name(place.text):
            return
        if names.EVERY in place.text:
            self._complain(line, place, "wildcard", f"`{what}` is * or one full name", "only `tool` knows prefixes")
        else:
            self._complain(line, place, "name", f"`{what}` is not a name", hint)

    def _check_act(self, line: Line, place: Field) -> None:
        if place.text not in (names.EVERY, *names.ACTS):
            hint = names.did_you_mean(place.text, names.ACTS) or "acts: * " + " ".join(names.ACTS)
            self._complain(line, place, "act", "the column `act` holds no act", hint)

    def _check_tool(self, line: Line, place: Field) -> None:
        text, known = place.text, self.vocabulary
        if names.EVERY in text[:-1]:
            self._complain(
                line, place, "wildcard", "* stands only at the end of `tool`", "Casbin ignores what follows it"
            )
        elif text.endswith(names.EVERY):
            if not any(tool.startswith(text[:-1]) for tool in known.tools):
                hint = "a prefix is compared with names of tools, not with tags"
                self._complain(line, place, "tool_unknown", "no tool's name starts like this", hint)
        elif text not in known.tools and text not in known.tags:
            code, what = ("tag_unknown", "tag") if ":" in text else ("tool_unknown", "tool")
            hint = (
                names.did_you_mean(text, sorted(known.tools | known.tags))
                or "`mcp-guard tools list` shows names and tags"
            )
            self._complain(line, place, code, f"there is no such {what}", hint)

    def _check_why(self, line: Line, place: Field) -> None:
        if not any(character.isalnum() for character in place.text):
            self._complain(
                line, place, "why_missing", "the row gives no reason", "say in `why` what the agent should know"
            )

    def _condition(self, line: Line, place: Field, act: str) -> Condition | None:
        found = self._conditions.get(place.text)
        if found is None:
            found = self._conditions[place.text] = _compiled(place.text)
        if isinstance(found, ConditionError):
            self._complain(line, place, found.code, found.message, found.hint, offset=found.offset)
            return None
        if found.uses_args and act in ("list", names.EVERY):
            hint = "write the act it is about, such as call; a list request has no arguments"
            self._complain(line, place, "list_arguments", "a row that covers `list` cannot ask for r.ctx.args", hint)
            return None
        if found.spent and act != "call":
            hint = "write act call; what was spent is looked up for calls only"
            self._complain(line, place, "spent_act", "only a row with act call can ask for r.ctx.spent", hint)
            return None
        if found.constant is False:
            self._complain(
                line,
                place,
                "never_applies",
                "this row never applies",
                "delete it or turn it into a comment",
                warning=True,
            )
        return found

    def _effect(self, line: Line, place: Field, act: str) -> Effect | None:
        if place.text not in names.EFFECTS:
            hint = names.did_you_mean(place.text, names.EFFECTS) or "effects: " + " ".join(names.EFFECTS)
            self._complain(line, place, "effect", "the column `eft` holds no effect; Casbin would ignore the row", hint)
            return None
        effect = Effect(place.text)
        if effect is Effect.REQUIRE_APPROVAL and act not in (names.EVERY, "call"):
            self._complain(
                line, place, "approval_act", "only a call can wait for a person", "use act call, or another effect"
            )
        return effect

    def _then(self, line: Line, column: Mapping[str, Field], effect: Effect | None) -> Obligations | None:
        if effect is None:
            return None
        place = column["then"]
        try:
            return obligations.parse(place.text, effect, column["act"].text, column["id"].text)
        except ObligationError as error:
            self._complain(line, place, error.code, error.message, error.hint, offset=error.offset)
            return None

    # --- g rows ------------------------------------------------------------------------------------------------

    def _link(self, line: Line) -> None:
        if len(line.fields) - 1 != _LINK_COLUMNS:
            hint = "g, member, role:…, tenant"
            message = f"a role link has {_LINK_COLUMNS} columns; here are {len(line.fields) - 1}"
            self._complain(line, line.fields[0], "column_count", message, hint)
            return
        member, role, tenant = line.fields[1:]
        before = self.errors
        self._check_part(line, member, "the member", names.is_who, _PREFIXES)
        self._check_part(line, role, "what is given", names.is_role, "a member is given a role:…")
        self._check_part(line, tenant, "the tenant", names.is_tenant, "roles are given per tenant; * is not one")
        if self.errors == before:
            self.links.append(Link(member.text, role.text, tenant.text, line.number))

    def _check_part(self, line: Line, place: Field, what: str, is_name: Callable[[str], bool], hint: str) -> None:
        if not is_name(place.text):
            code = "wildcard" if names.EVERY in place.text else "name"
            self._complain(line, place, code, f"{what} of a role link is not a name", hint)


def _compiled(text: str) -> Condition | ConditionError:
    try:
        return compile_condition(text)
    except ConditionError as error:
        return error
