"""From everything that the files hold to the data set that is evaluated."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

from evalkit.checks import text, unfit, whole_number
from evalkit.data.judgments import Judgments
from evalkit.errors import ConfigError, DataError
from evalkit.types import Attributes, Dataset, Document, Qrels, Query, as_list

Entry = TypeVar("Entry", Document, Query)

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""A language tag, such as ``de`` or ``de-CH``."""

Filters = Mapping[str, Any]
"""metadata key -> the value, or the list of values, to keep."""


LONGEST_SHOWN = 24
"""Characters of a metadata value that a message may quote."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which queries and documents take part.

    Filters and limit select queries only; documents are filtered only by ``corpus_filter``. R keeps
    counting every positive of a selected query.

    Attributes:
        filters: Metadata that a query must have.
        limit: Evaluate a sample of this many queries; None takes all.
        seed: Seed of that sample.
        corpus_filter: Metadata that a document must have.
        on_dangling: ``error`` refuses judgments that point at nothing, ``keep`` evaluates with them.
        lang: What language ``queries`` and ``documents`` are in where their metadata does not say: a tag such
            as ``de``, or a pattern whose group finds it in the id, such as ``^([a-z]{2})-``.
    """

    filters: Filters = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    corpus_filter: Filters = field(default_factory=dict)
    on_dangling: Literal["error", "keep"] = "error"
    lang: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole_number("dataset.limit", self.limit, 1, or_null=True)
        whole_number("dataset.seed", self.seed, 0)
        for name, filters in (("filters", self.filters), ("corpus_filter", self.corpus_filter)):
            if not isinstance(filters, Mapping):
                raise unfit(f"dataset.{name}", filters, "metadata and values, such as {lang: de}, or null")
        if self.on_dangling not in ("error", "keep"):
            raise ConfigError(f"on_dangling is {self.on_dangling!r}; expected error or keep")
        _check_lang(self.lang)

    def documents(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Those that take part, with their language, one by one."""
        tagged = _tagged(documents, self.lang.get("documents"))
        return (document for document in tagged if _matches(document.metadata, self.corpus_filter))

    def queries(self, queries: Iterable[Query]) -> Iterator[Query]:
        """Those that ``filters`` keeps, with their language, one by one."""
        tagged = _tagged(queries, self.lang.get("queries"))
        return (query for query in tagged if _matches(query.metadata, self.filters))


class Chosen(NamedTuple):
    """Selected queries, by what their judgments say.

    Attributes:
        evaluated: Those with a relevant document, or the sample of them that ``limit`` asks for.
        unjudged: Ids of those without any judgment.
        without_positives: Ids of those whose judgments are all below 1.
    """

    evaluated: tuple[Query, ...]
    unjudged: tuple[str, ...]
    without_positives: tuple[str, ...]

    @classmethod
    def of(cls, queries: Sequence[Query], grades: Qrels, selection: Selection) -> Chosen:
        """Tell the queries apart that ``filters`` keeps."""
        answered = {query.id for query in queries if _has_positive(grades.get(query.id, {}))}
        return cls(
            _sample([query for query in queries if query.id in answered], selection),
            tuple(query.id for query in queries if query.id not in grades),
            tuple(query.id for query in queries if query.id in grades and query.id not in answered),
        )


def assemble(
    name: str, documents: Iterable[Document], queries: Iterable[Query], judgments: Judgments, selection: Selection
) -> Dataset:
    """Select, check the judgments against corpus and queries, and seal the digest.

    Raises:
        DataError: A filter matches nothing, a judgment points at nothing (unless kept), or no query
            is left to evaluate.
    """
    all_queries = tuple(_tagged(queries, selection.lang.get("queries")))
    known_queries = {query.id for query in all_queries}
    all_documents = tuple(_tagged(documents, selection.lang.get("documents")))
    corpus = _filtered(all_documents, selection.corpus_filter, "corpus_filter", name)
    chosen = _filtered(all_queries, selection.filters, "filters", name)
    warnings = _warnings(judgments, known_queries, corpus, selection)

    grades = judgments.grades
    evaluated, unjudged, without_positives = Chosen.of(chosen, grades, selection)
    qrels = {query.id: dict(grades[query.id]) for query in evaluated}
    corpus_digest = _digest([document.id, document.title, document.text, document.metadata] for document in corpus)
    return Dataset(
        name=name,
        documents=corpus,
        queries=evaluated,
        qrels=qrels,
        digest=dataset_digest(corpus_digest, evaluated, qrels, selection),
        corpus_digest=corpus_digest,
        dangling=_dangling(qrels, corpus, judgments, selection),
        unjudged=unjudged,
        without_positives=without_positives,
        warnings=warnings,
    )


def _check_lang(lang: object) -> None:
    """Refuse anything but a tag or a pattern for queries, for documents, or for both."""
    if not isinstance(lang, Mapping) or set(lang) - {"queries", "documents"}:
        raise unfit("dataset.lang", lang, "{queries: de, documents: '^([a-z]{2})-'}, one of the two, or null")
    for part, rule in lang.items():
        text(f"dataset.lang.{part}", rule, or_null=True)
        if rule is None or _TAG.fullmatch(rule):
            continue
        try:
            groups = re.compile(rule).groups
        except re.error as error:
            raise unfit(f"dataset.lang.{part}", rule, f"a language tag or a pattern ({error})") from error
        if groups != 1:
            raise unfit(f"dataset.lang.{part}", rule, "a language tag such as de, or a pattern with one group")


def _tagged(entries: Iterable[Entry], rule: str | None) -> Iterable[Entry]:
    """The entries with a ``lang``, where they have none and the rule finds one."""
    if rule is None:
        return entries
    return (_with_lang(entry, rule) for entry in entries)


def _with_lang(entry: Entry, rule: str) -> Entry:
    found = None if _TAG.fullmatch(rule) else re.search(rule, entry.id)
    lang = rule if _TAG.fullmatch(rule) else found and found[1]
    known = entry.metadata.get("lang")
    return entry if known or not lang else replace(entry, metadata={**entry.metadata, "lang": lang})


def _has_positive(grades: Mapping[str, int]) -> bool:
    return any(grade >= 1 for grade in grades.values())


def _matches(metadata: Attributes, filters: Filters) -> bool:
    return all(
        any(_same(found, wanted) for found in as_list(metadata.get(key, [])) for wanted in as_list(value))
        for key, value in filters.items()
    )


def _same(found: Any, wanted: Any) -> bool:
    """Equal and of one type: ``true`` is not 1, ``"2020"`` is not 2020."""
    return type(found) is type(wanted) and bool(found == wanted)


def _filtered(entries: tuple[Entry, ...], filters: Filters, option: str, name: str) -> tuple[Entry, ...]:
    kept = tuple(entry for entry in entries if _matches(entry.metadata, filters))
    if kept or not entries:
        return kept
    seen = {key: _values_of(entries, key) for key in filters}
    raise DataError(f"dataset {name!r}: {option} {dict(filters)} matches nothing; found {seen}")


def _values_of(entries: Sequence[Entry], key: str) -> list[Any]:
    """Some values of a metadata key, for a message; a long one might be a text and is left out."""
    values = {
        repr(value): value
        for entry in entries
        for value in as_list(entry.metadata.get(key, []))
        if len(repr(value)) <= LONGEST_SHOWN
    }
    return [values[text] for text in sorted(values)[:10]]


def _sample(queries: Sequence[Query], selection: Selection) -> tuple[Query, ...]:
    if selection.limit is None or selection.limit >= len(queries):
        return tuple(queries)
    ids = sorted(query.id for query in queries)
    generator = random.Random(selection.seed)  # noqa: S311 - a sample, not a secret
    taken = set(generator.sample(ids, selection.limit))
    return tuple(query for query in queries if query.id in taken)


def _dangling(
    qrels: Qrels, corpus: Sequence[Document], judgments: Judgments, selection: Selection
) -> tuple[tuple[str, str], ...]:
    present = {document.id for document in corpus}
    found = tuple(
        (query_id, doc_id)
        for query_id, grades in qrels.items()
        for doc_id, grade in grades.items()
        if grade >= 1 and doc_id not in present
    )
    if found and selection.on_dangling == "error":
        query_id, doc_id = found[0]
        left_out = " (or its corpus_filter leaves them out)" if selection.corpus_filter else ""
        raise DataError(
            f"document {doc_id!r}, relevant to query {query_id!r}, is not in the corpus{left_out}; "
            f"{len(found)} positives dangle like this. Mend the ids, or set dataset.on_dangling=keep to count them "
            "as never found",
            judgments.path,
            judgments.lines.get(found[0]),
        )
    return found


def _warnings(
    judgments: Judgments, known_queries: set[str], corpus: Sequence[Document], selection: Selection
) -> tuple[str, ...]:
    notes = []
    lost = [query_id for query_id in judgments.grades if query_id not in known_queries]
    if lost and selection.on_dangling == "error":
        first = next(iter(judgments.grades[lost[0]]))
        raise DataError(
            f"query {lost[0]!r} is judged but is not among the queries; {len(lost)} queries are missing like "
            "this. Mend the ids, or set dataset.on_dangling=keep to leave them out",
            judgments.path,
            judgments.lines.get((lost[0], first)),
        )
    if lost:
        notes.append(f"{len(lost)} judged queries are not among the queries and were left out")
    if judgments.repeated:
        notes.append(f"{judgments.repeated} judgments repeat an earlier row and were counted once")
    negative = sum(grade < 0 for grades in judgments.grades.values() for grade in grades.values())
    if negative:
        notes.append(f"{negative} judgments have a negative grade; it counts as not relevant")
    empty = sum(not document.content for document in corpus)
    if empty:
        notes.append(f"{empty} documents have neither title nor text; models see an empty string")
    return tuple(notes)


def _digest(rows: Iterable[Sequence[Any]]) -> str:
    """SHA-256 over rows in the order of their text, so that the order of a file does not matter."""
    total = hashlib.sha256()
    for row in sorted(json.dumps(list(row), ensure_ascii=False, sort_keys=True) for row in rows):
        total.update(row.encode("utf-8", errors="surrogatepass"))
        total.update(b"\n")
    return total.hexdigest()


def dataset_digest(corpus_digest: str, queries: Sequence[Query], qrels: Qrels, selection: Selection) -> str:
    """SHA-256 over the corpus, the evaluated queries, their judgments and the selection that led to them."""
    sampled = selection.limit is not None
    parts = [
        corpus_digest,
        _digest([query.id, query.text, query.metadata] for query in queries),
        _digest([query_id, grades] for query_id, grades in qrels.items()),
        _digest(
            [
                [
                    dict(selection.filters),
                    dict(selection.corpus_filter),
                    selection.limit,
                    selection.seed if sampled else None,
                ]
            ]
        ),
    ]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
