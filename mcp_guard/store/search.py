"""What is searched for, and whether one record is it."""

from collections.abc import Mapping
from typing import NamedTuple

from mcp_guard.store.facets import facets, ids, texts
from mcp_guard.store.values import ID_KINDS, Traits
from mcp_guard.store.words import has_word


class Word(NamedTuple):
    """A word, given by its beginning, in a text of one of the kinds `within` (`tool`, `reason`, `hidden-reason`).

    Calls that found no tool count as if they had it where it is what they are told (`or_hidden`).
    """

    start: str
    within: tuple[str, ...]
    or_hidden: bool = False


class Search(NamedTuple):
    """What must hold, all of it: a facet of each of `terms`, each of `ids` (kind and value), each of `words`."""

    terms: tuple[tuple[str, ...], ...] = ()
    ids: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether every record is wanted."""
        return not (self.terms or self.ids or self.words)

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
    if word.or_hidden and traits.hidden is not None:
        return True
    return any(kind in word.within and has_word(text, word.start) for kind, text in texts(traits))
