"""From documents, queries and judgments to facts; nothing is opened, and no model is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product

from evalkit.analysis.grouping import CUSTOMARY, FamilyRule
from evalkit.analysis.units import Units
from evalkit.data.judgments import Judgments
from evalkit.data.selection import Chosen, Selection
from evalkit.inspection.corpus import Corpus, digest, languages_of
from evalkit.inspection.facts import Cell, Coverage, Facts, Grouped, Leaks, Lengths, Sizes, Some, Spoken, Texts
from evalkit.inspection.leaks import copied, named
from evalkit.ports import Pair
from evalkit.types import Document, Qrels, Query

Measure = Callable[[Sequence[str], Sequence[Pair]], tuple[Lengths, ...]]
"""From some documents' contents and some pairs of texts to how many of them are too long for which model."""


def survey(
    documents: Iterable[Document],
    queries: Sequence[Query],
    judgments: Judgments,
    selection: Selection,
    rule: FamilyRule,
    measure: Measure | None = None,
    passed_over: Collection[str] = (),
) -> Facts:
    """Look at a data set as a run with the same settings would take it.

    Args:
        documents: The whole corpus, ids unique; passed over once.
        queries: All queries, ids unique.
        judgments: All judgments.
        selection: Which queries and documents take part.
        rule: How queries name their family.
        measure: What counts tokens; None counts none.
        passed_over: Ids of queries that are there but unfit.
    """
    selected = tuple(selection.queries(queries))
    chosen = Chosen.of(selected, judgments.grades, selection)
    evaluated = {query.id: query for query in chosen.evaluated}
    qrels = {query_id: judgments.grades[query_id] for query_id in evaluated}
    pairs = list(_positives(qrels))
    corpus = Corpus.of(
        selection.documents(documents),
        {doc_id for grades in qrels.values() for doc_id in grades},
        {doc_id for _, doc_id in pairs},
    )
    found = [(query_id, doc_id) for query_id, doc_id in pairs if doc_id in corpus.contents]
    texts = [(evaluated[query_id].text, corpus.contents[doc_id]) for query_id, doc_id in found]
    known = {query.id for query in queries}.union(passed_over)
    return Facts(
        sizes=Sizes(corpus.count, len(queries), len(selected), len(evaluated), _grades(selected, judgments.grades)),
        coverage=Coverage(
            unjudged=Some.of(chosen.unjudged),
            without_positives=Some.of(chosen.without_positives),
            unknown_queries=Some.of(query_id for query_id in judgments.grades if query_id not in known),
            never_judged=corpus.count - len(corpus.judged),
            dangling=Some.of_pairs(pair for pair in pairs if pair[1] not in corpus.contents),
            dangling_others=sum(
                grade < 1 and doc_id not in corpus.judged
                for grades in qrels.values()
                for doc_id, grade in grades.items()
            ),
            repeated=judgments.repeated,
            positives=dict(sorted(Counter(Counter(query_id for query_id, _ in pairs).values()).items())),
        ),
        texts=_texts(corpus, selected, judgments.grades, pairs),
        languages=_languages(corpus, selected, evaluated, found),
        leaks=Leaks(
            named=Some.of_pairs(pair for pair in pairs if named(pair[1], evaluated[pair[0]].text)),
            copied=Some.of_pairs(pair for pair, both in zip(found, texts, strict=True) if copied(*both)),
        ),
        families=_families(chosen.evaluated, qrels, rule),
        lengths=measure(corpus.sample, texts) if measure else (),
    )


def _positives(qrels: Qrels) -> Iterator[tuple[str, str]]:
    for query_id, grades in qrels.items():
        yield from ((query_id, doc_id) for doc_id, grade in grades.items() if grade >= 1)


def _grades(selected: Sequence[Query], grades: Qrels) -> dict[int, int]:
    counts = Counter(grade for query in selected for grade in grades.get(query.id, {}).values())
    return dict(sorted(counts.items(), reverse=True))


def _texts(corpus: Corpus, selected: Sequence[Query], grades: Qrels, pairs: Sequence[tuple[str, str]]) -> Texts:
    copies = {doc_id: group for group in corpus.copies for doc_id in group}
    first: dict[bytes, Query] = {}
    again = [(query, first.setdefault(digest(query.text), query)) for query in selected]
    repeats = [(query, earlier) for query, earlier in again if query is not earlier]
    return Texts(
        empty=corpus.empty,
        empty_positives=sum(corpus.contents.get(doc_id) == "" for _, doc_id in pairs),
        identical=Some.of(doc_id for group in corpus.copies for doc_id in group[1:]),
        twins=Some.of_pairs(
            (query_id, doc_id) for query_id, doc_id in pairs if set(copies.get(doc_id, ())) - grades[query_id].keys()
        ),
        same_questions=Some.of(query.id for query, _ in repeats),
        contradictory=Some.of(
            query.id
            for query, earlier in repeats
            if query.id in grades and earlier.id in grades and grades[query.id] != grades[earlier.id]
        ),
    )


def _languages(
    corpus: Corpus, selected: Sequence[Query], evaluated: Mapping[str, Query], found: Sequence[tuple[str, str]]
) -> Spoken:
    asked = {query.id: languages_of(query) for query in selected}
    cells = Counter(
        cell
        for query_id, doc_id in found
        for cell in product(languages_of(evaluated[query_id]) or (None,), corpus.positive_langs[doc_id] or (None,))
    )
    return Spoken(
        documents=_sorted(corpus.langs),
        queries=_sorted(Counter(lang for langs in asked.values() for lang in langs)),
        documents_without=corpus.without_lang,
        queries_without=sum(not langs for langs in asked.values()),
        cells=tuple(
            Cell(query_lang, document_lang, positives)
            for (query_lang, document_lang), positives in sorted(cells.items(), key=lambda cell: str(cell[0]))
        ),
    )


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _families(queries: Sequence[Query], qrels: Qrels, rule: FamilyRule) -> Grouped:
    families = rule.families(queries)
    sizes = Counter(families.values())
    unnamed = [query for query in queries if query.id not in families]
    return Grouped(
        families=len(sizes),
        members=len(families),
        largest=max(sizes.values(), default=0),
        units=Units.of([query.id for query in queries], families).n_units if queries else 0,
        unmatched=_unmatched(queries, families, rule),
        suspected=Some.of(_translated(unnamed, qrels)),
    )


def _unmatched(queries: Sequence[Query], families: Mapping[str, str], rule: FamilyRule) -> str | None:
    if families or not queries:
        return None
    if rule.pattern is not None:
        return "statistics.family_pattern"
    return None if rule.attribute is None or rule.attribute in CUSTOMARY else "statistics.family"


def _translated(queries: Sequence[Query], qrels: Qrels) -> Iterator[str]:
    """Ids of queries that share all positives with an earlier one in another language."""
    spoken: dict[frozenset[str], set[tuple[str, ...]]] = {}
    for query in queries:
        answers = frozenset(doc_id for doc_id, grade in qrels[query.id].items() if grade >= 1)
        langs = languages_of(query)
        known = spoken.setdefault(answers, set())
        if langs and known - {langs}:
            yield query.id
        if langs:
            known.add(langs)
