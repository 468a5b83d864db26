"""What is searched for, and whether one record is it."""

from collections.abc import Mapping
from typing import NamedTuple

from mcp_guard.store.facets import facets, ids, phrases
from mcp_guard.store.values import ID_KINDS, Traits
from mcp_guard.store.words import has_word


class Word(NamedTuple):
    """A word, given by its beginning, in a text of one of the kinds `within` (`tool`, `reason`, `hidden-reason`).

    Records with the facet `or_facet` count as if they had it.
    """

    start: str
    within: tuple[str, ...]
    or_facet: str | None = None


class Search(NamedTuple):
    """What must hold, all of it: a facet of each of `terms`, each of `ids` (kind and value), each of `words`."""

    terms: tuple[tuple[str, ...], ...] = ()
    ids: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether every record is wanted."""
        return not (self.terms or self.ids or self.words)

    @property
    def is_doubtful(self) -> bool:
        """Whether the index only says what may be wanted: digests collide, and words are looked up by an ASCII form."""
        return bool(self.ids or self.words)

    def matches(self, record: Mapping[str, object], traits: Traits) -> bool:
        """Whether a record is wanted. `traits` are its own with those of its intent."""
        return self.has_ids(record) and self.has_terms(traits) and self.has_words(traits)

    def has_ids(self, record: Mapping[str, object]) -> bool:
        own = ids(record)
        return all(own[ID_KINDS.index(kind)] == value for kind, value in self.ids)

    def has_terms(self, traits: Traits) -> bool:
        own = set(facets(traits))
        return all(not own.isdisjoint(term) for term in self.terms)

    def has_words(self, traits: Traits) -> bool:
        return all(_has(traits, word) for word in self.words)


def _has(traits: Traits, word: Word) -> bool:
    if word.or_facet is not None and word.or_facet in facets(traits):
        return True
    texts = (text for name, text in phrases(traits) if kind_of(name) in word.within)
    return any(has_word(text, word.start) for text in texts)


def kind_of(name: str) -> str:
    """The kind of a facet by its name."""
    return name.partition(":")[0]
