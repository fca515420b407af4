"""Which queries belong together, by their metadata or their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from evalkit.analysis.grouping import FamilyRule, attributes_of, unknown_keys
from evalkit.errors import ConfigError
from evalkit.types import Dataset, Document, Query
from tests.analysis.evidence import design_of

TRANSLATIONS = "^[a-z]{2}-(.*)$"


def query(query_id: str, **metadata: Any) -> Query:
    return Query(query_id, "how much?", metadata)


def test_the_family_is_what_the_metadata_say() -> None:
    queries = [query("q1", family="rent"), query("q2", family="rent"), query("q3", family="tax"), query("q4")]
    assert FamilyRule("family").families(queries) == {"q1": "rent", "q2": "rent", "q3": "tax"}


def test_a_number_names_a_family_as_its_text_does() -> None:
    assert FamilyRule("topic").families([query("q1", topic=7), query("q2", topic="7")]) == {"q1": "7", "q2": "7"}


def test_the_pattern_finds_the_part_of_the_id_that_translations_share() -> None:
    queries = [query("de-0012"), query("fr-0012"), query("it-0044"), query("0012"), query("deutsch-0012")]
    assert FamilyRule(pattern=TRANSLATIONS).families(queries) == {
        "de-0012": "0012", "fr-0012": "0012", "it-0044": "0044",
    }  # fmt: skip


def test_ids_alone_are_enough_for_a_pattern_and_for_nothing_else() -> None:
    assert FamilyRule("family", TRANSLATIONS).families_by_id(["de-1", "fr-1", "2"]) == {"de-1": "1", "fr-1": "1"}
    assert FamilyRule("family").families_by_id(["de-1", "fr-1"]) == {}


def test_metadata_come_first_and_the_pattern_serves_the_rest() -> None:
    queries = [query("de-1", family="rent"), query("fr-1", family=None), query("it-1")]
    assert FamilyRule("family", TRANSLATIONS).families(queries) == {"de-1": "rent", "fr-1": "1", "it-1": "1"}


def test_a_group_that_took_no_part_in_the_match_names_no_family() -> None:
    assert FamilyRule(pattern="^(?:([a-z]+)-)?q").families([query("rent-q1"), query("q2")]) == {"rent-q1": "rent"}


def test_without_a_rule_every_query_stands_alone() -> None:
    assert FamilyRule().families([query("de-1", family="rent"), query("fr-1", family="rent")]) == {}


@pytest.mark.parametrize(
    ("attribute", "pattern", "what"),
    [
        (None, "(", "statistics.family_pattern '(' is no regular expression: "),
        (None, "^de-", "has 0 groups; expected one"),
        (None, "^(de|fr)-(.*)$", "has 2 groups; expected one"),
        (None, 7, "statistics.family_pattern is of type int; expected text"),
        (["family"], None, "statistics.family is of type list; expected text"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(attribute: Any, pattern: Any, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FamilyRule(attribute, pattern)
    assert what in str(caught.value)


def test_attributes_are_those_asked_for_as_texts() -> None:
    queries = [
        query("q1", lang="de", kind=["tax", "law"], year=2024, other="x"),
        query("q2", lang="fr", kind=None),
        query("q3"),
    ]
    assert attributes_of(queries, ["year", "lang", "kind"]) == {
        "q1": {"year": ("2024",), "lang": ("de",), "kind": ("tax", "law")},
        "q2": {"lang": ("fr",)},
        "q3": {},
    }


def test_where_nothing_is_asked_for_only_the_language_is_kept() -> None:
    assert attributes_of([query("q1", lang="de", kind="k"), query("q2")], []) == {"q1": {"lang": ("de",)}, "q2": {}}


def test_an_empty_family_is_none() -> None:
    """Queries whose family was left empty would otherwise be tied to one another."""
    queries = [Query("a", "?", {"family": ""}), Query("b", "?", {"family": ""}), Query("c", "?", {"family": "x"})]
    assert FamilyRule("family").families(queries) == {"c": "x"}


def test_a_value_that_is_null_or_empty_is_none() -> None:
    """It would make a slice, or a language, of those that name none; 0 and false are values."""
    queries = [
        query("q1", lang="", kind=["tax", None, ""]),
        query("q2", lang=[], kind=0),
        query("q3", lang=[None], kind=False),
    ]
    assert attributes_of(queries, ["kind"]) == {
        "q1": {"kind": ("tax",)},
        "q2": {"kind": ("0",)},
        "q3": {"kind": ("False",)},
    }


def test_attributes_of_documents_are_read_likewise() -> None:
    documents = [Document("d1", "text", "", {"lang": ["de", "fr"], "year": 2024}), Document("d2", "text")]
    assert attributes_of(documents, ["year"]) == {"d1": {"lang": ("de", "fr"), "year": ("2024",)}, "d2": {}}


def test_a_key_that_nobody_has_is_named_unless_it_is_customary() -> None:
    """Keys of queries are looked for among queries, those of documents among documents."""
    queries, documents = (query("a", lang="de", topic="tax"),), (Document("d", "text", "", {"source": "mail"}),)
    dataset = Dataset("made", documents, queries, {"a": {"d": 1}}, "0", "0")

    def unknown(family: str, slices: Sequence[str], document_slices: Sequence[str]) -> list[str]:
        design = design_of(slices=tuple(slices), document_slices=tuple(document_slices))
        return unknown_keys(dataset, FamilyRule(family), design)

    assert unknown("famly", ["lang", "kind", "source"], ["lang", "source", "topic"]) == [
        "statistics.family names 'famly', which no query has",
        "statistics.slices names 'source', which no query has",
        "statistics.document_slices names 'topic', which no document has",
    ]
    assert unknown("family", ["lang", "kind", "topic"], ["lang", "kind", "source"]) == []


def in_languages(asked: Sequence[Any], known: Sequence[Any]) -> list[str]:
    """What is said of queries and documents whose ``lang`` is such, where nothing else is asked for."""
    queries = tuple(query(f"q{place}", lang=lang) for place, lang in enumerate(asked))
    documents = tuple(Document(f"d{place}", "text", "", {"lang": lang}) for place, lang in enumerate(known))
    return unknown_keys(Dataset("made", documents, queries, {}, "0", "0"), FamilyRule(), design_of())


def test_a_language_that_queries_spell_otherwise_than_documents_is_named_with_both_spellings() -> None:
    assert in_languages(["DE", ["fr-CH", "it"], "DE"], ["de", ["fr", "FR_fr"], "it"]) == [
        "queries name the language 'DE' and documents 'de': these are taken for different languages; write them alike "
        "in the metadata's lang",
        "queries name the language 'fr-CH' and documents 'FR_fr', 'fr': these are taken for different languages; write "
        "them alike in the metadata's lang",
    ]


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        (["de", "fr"], ["de", "fr", "fr-CH"]),
        (["it"], ["de"]),
        (["de"], ["deu"]),
        (["DE"], [None, ""]),
        ([None], ["de"]),
    ],
    ids=["there as it is", "in no document", "another code", "documents name none", "queries name none"],
)
def test_languages_that_are_not_one_in_two_spellings_need_no_word(asked: Sequence[Any], known: Sequence[Any]) -> None:
    assert in_languages(asked, known) == []
