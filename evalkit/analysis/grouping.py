"""Which queries belong together: families of one question, and slices by what queries say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.checks import text
from evalkit.errors import ConfigError
from evalkit.result import Design, ValuesOf
from evalkit.types import Dataset, Document, Query, as_list


@dataclass(frozen=True, slots=True)
class FamilyRule:
    """How a query names its family: translations or paraphrases of one question, which are not independent.

    Attributes:
        attribute: Key of the queries' metadata that holds the family; None where there is none.
        pattern: Regular expression with one group that finds the family in a query's id, for data without such a key.
    """

    attribute: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        text("statistics.family", self.attribute, or_null=True)
        text("statistics.family_pattern", self.pattern, or_null=True)
        if self.pattern is None:
            return
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ConfigError(
                f"statistics.family_pattern {self.pattern!r} is no regular expression: {error}"
            ) from error
        if groups != 1:
            raise ConfigError(
                f"statistics.family_pattern {self.pattern!r} has {groups} groups; expected one, around the part of the "
                "id that translations share, such as '^[a-z]{2}-(.*)$'"
            )

    def families(self, queries: Iterable[Query]) -> dict[str, str]:
        """Query id -> family, for the queries that name one."""
        queries = list(queries)
        named = {query.id: query.metadata.get(self.attribute) for query in queries if self.attribute}
        by_id = self.families_by_id(query.id for query in queries)
        # An empty name is none: it would tie all that lack one.
        return by_id | {query_id: str(family) for query_id, family in named.items() if family not in (None, "")}

    def families_by_id(self, query_ids: Iterable[str]) -> dict[str, str]:
        """Query id -> family, for the queries whose id the pattern fits."""
        if self.pattern is None:
            return {}
        matches = {query_id: re.search(self.pattern, query_id) for query_id in query_ids}
        return {query_id: match[1] for query_id, match in matches.items() if match and match[1] is not None}


LANG = "lang"
"""Key of the metadata that holds the language of a query or document."""

CUSTOMARY = ("family", LANG, "kind")
"""Keys that are asked for whether or not a data set has them."""


def unknown_keys(dataset: Dataset, rule: FamilyRule, design: Design) -> list[str]:
    """What is asked for by a name that does not fit the data, one sentence each: most likely it is misspelt.

    A key that no query, or no document, has; and a language that queries name otherwise than documents do.
    """
    queries = {key for query in dataset.queries for key in query.metadata}
    documents = {key for document in dataset.documents for key in document.metadata}
    asked = [
        ("statistics.family", rule.attribute, "query", queries),
        *(("statistics.slices", name, "query", queries) for name in design.slices),
        *(("statistics.document_slices", name, "document", documents) for name in design.document_slices),
    ]
    return [
        f"{setting} names {key!r}, which no {entry} has"
        for setting, key, entry, known in asked
        if key is not None and key not in known and key not in CUSTOMARY
    ] + _other_spellings(dataset)


def _other_spellings(dataset: Dataset) -> list[str]:
    """Languages of queries that no document names so, although some name it in another case or with another region."""
    asked, known = (
        sorted({lang for entry in entries for lang in _texts(entry.metadata.get(LANG))})
        for entries in (dataset.queries, dataset.documents)
    )
    alike: dict[str, list[str]] = {}
    for lang in known:
        alike.setdefault(_primary(lang), []).append(lang)
    return [
        f"queries name the language {lang!r} and documents {', '.join(map(repr, alike[_primary(lang)]))}: these are "
        f"taken for different languages; write them alike in the metadata's {LANG}"
        for lang in asked
        if lang not in known and _primary(lang) in alike
    ]


def _primary(lang: str) -> str:
    """The first subtag of a language tag, case folded."""
    return re.split("[-_]", lang.strip(), maxsplit=1)[0].casefold()


def attributes_of(entries: Iterable[Query | Document], names: Sequence[str]) -> ValuesOf:
    """Attribute -> its values as text, by id, for the attributes that are asked for and that an entry has.

    ``lang`` is always asked for: the language table needs it. A value that is null or empty is none.
    """
    asked = dict.fromkeys((LANG, *names))
    told = {entry.id: {name: _texts(entry.metadata.get(name)) for name in asked} for entry in entries}
    return {entry_id: {name: texts for name, texts in found.items() if texts} for entry_id, found in told.items()}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in as_list(value) if one not in (None, ""))
