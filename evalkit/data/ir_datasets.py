"""Data sets of the ir_datasets catalogue, read through that library and from its home on disk."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Literal, Unpack

from evalkit.checks import text, unfit
from evalkit.data.columns import metadata_of
from evalkit.data.judgments import Judgments, collect
from evalkit.data.rows import Part, Row, document, entries, query
from evalkit.data.source import Choices, Source
from evalkit.errors import ConfigError, DataError
from evalkit.types import Document, Query

Kind = Literal["docs", "queries", "qrels"]

_TEXTS = ("text", "body", "contents", "abstract")
"""What the text of a record without ``default_text()`` may be called."""
_LISTED = 8


class IrDatasets(Source):
    """A data set of ir_datasets, under its id there.

    What a record's text is, the library says: ``default_text()``. Where a document's starts with its title, the title
    is kept apart; models read the same.

    Args:
        id: Such as ``beir/scifact/test``; it must have documents, queries and qrels.
        doc_field: The field that is a document's text; None takes ``default_text()``.
        query_field: The field that is the query, such as ``description``; None takes ``default_text()``.
        metadata: More fields to keep as metadata of documents and queries that have them.
        choices: see :class:`evalkit.data.source.Choices`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as the library calls it
        doc_field: str | None,
        query_field: str | None,
        metadata: list[str] | None,
        **choices: Unpack[Choices],
    ) -> None:
        text("dataset.id", id)
        text("dataset.doc_field", doc_field, or_null=True)
        text("dataset.query_field", query_field, or_null=True)
        if metadata is not None and not (isinstance(metadata, list) and all(isinstance(key, str) for key in metadata)):
            raise unfit("dataset.metadata", metadata, "a list of fields, or null")
        self._id = id
        self._doc_field, self._query_field = doc_field, query_field
        self._metadata = metadata or []
        super().__init__(id.replace("/", "_"), **choices)

    def documents(self) -> Iterator[Document]:
        handler = self._handler("docs")
        self._check_field("doc_field", self._doc_field, handler.docs_cls())
        rows = (self._document(record, handler.docs_lang()) for record in self._records("docs", handler))
        return entries([Part(enumerate(rows, start=1), None, f"{self._id}, document")], document)

    def queries(self) -> Iterator[Query]:
        handler = self._handler("queries")
        self._check_field("query_field", self._query_field, handler.queries_cls())
        rows = (self._query(record, handler.queries_lang()) for record in self._records("queries", handler))
        return entries([Part(enumerate(rows, start=1), None, f"{self._id}, query")], query)

    def judgments(self) -> Judgments:
        records = self._records("qrels", self._handler("qrels"))
        rows = (
            (number, _id(record.query_id), _id(record.doc_id), record.relevance)
            for number, record in enumerate(records, start=1)
        )
        return collect(rows, None, f"{self._id}, judgment")

    def _document(self, record: Any, lang: str | None) -> Row:
        body = _text(record, self._doc_field)
        title = getattr(record, "title", "") if self._doc_field != "title" else ""
        apart = isinstance(title, str) and title != ""
        if apart and self._doc_field is None and hasattr(record, "default_text"):
            apart = isinstance(body, str) and body.startswith(title)
            body = body[len(title) :].strip() if apart else body
        return {
            "_id": _id(record.doc_id),
            **({"title": title} if apart else {}),
            "text": body,
            **self._said(record, lang),
        }

    def _query(self, record: Any, lang: str | None) -> Row:
        return {"_id": _id(record.query_id), "text": _text(record, self._query_field), **self._said(record, lang)}

    def _said(self, record: Any, lang: str | None) -> Row:
        values = record._asdict()
        kept = metadata_of(values, {name: name for name in self._metadata if name in values})
        return {"metadata": {**({"lang": lang} if lang else {}), **kept}}

    def _check_field(self, option: str, field: str | None, record: Any) -> None:
        if field is not None and field not in record._fields:
            raise ConfigError(f"dataset.{option} is {field!r}; {self._id} has: {', '.join(record._fields)}")

    def _handler(self, kind: Kind) -> Any:
        dataset = _load(self._id)
        if not dataset.has(kind):
            able = _with_all_parts(self._id)
            below = f"; these have: {_listed(able)}" if able else ""
            raise ConfigError(f"{self._id} has no {kind} in ir_datasets{below}. Set dataset.id to one with all three")
        return getattr(dataset, f"{kind}_handler")()

    def _records(self, kind: Kind, handler: Any) -> Iterator[Any]:
        """The records of a handler; whatever the library raises as one message."""
        try:
            yield from getattr(handler, f"{kind}_iter")()
        except ImportError as error:
            message = f"{self._id} needs a package that is not installed: {error}"
            raise ConfigError(message) from error
        except FileNotFoundError as error:
            raise DataError(
                f"{self._id} needs {error}, which ir_datasets does not fetch by itself; "
                f"put it there, as told at https://ir-datasets.com/{self._id.split('/')[0]}"
            ) from error
        # A library of many formats, over the network: RuntimeError, AssertionError, those of requests.
        except Exception as error:
            raise DataError(_trouble(self._id, kind, error)) from error


def _load(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError as error:
        message = "ir_datasets is not installed; run: pip install 'evalkit-rerank[ir-datasets]'"
        raise ConfigError(message) from error
    try:
        return ir_datasets.load(name)
    except KeyError as error:
        near = difflib.get_close_matches(name, list(ir_datasets.registry), n=_LISTED)
        hint = f"Did you mean {_listed(near)}?" if near else "All ids are at https://ir-datasets.com"
        raise ConfigError(f"ir_datasets {ir_datasets.__version__} has no data set {name!r}. {hint}") from error


def _with_all_parts(below: str) -> list[str]:
    """The ids below this one that have documents, queries and qrels."""
    import ir_datasets

    names = [name for name in ir_datasets.registry if name.startswith(f"{below}/")]
    return [name for name in names if all(map(ir_datasets.load(name).has, ("docs", "queries", "qrels")))]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _id(value: Any) -> str:
    """The id; the library leaves a file's byte order mark at its first one."""
    return str(value).removeprefix("\ufeff").strip()


def _text(record: Any, field: str | None) -> Any:
    if field is None and hasattr(record, "default_text"):
        return record.default_text()
    name = field or next((name for name in _TEXTS if name in record._fields), None)
    if name is None:
        fields = ", ".join(record._fields)
        raise DataError(f"ir_datasets does not say what the text is; set doc_field or query_field to one of: {fields}")
    return getattr(record, name)


def _trouble(name: str, kind: str, error: Exception) -> str:
    """What went wrong inside the library, without its message, which may quote a text."""
    import requests

    # Where it knows several places, its error lists them with what went wrong at each.
    tried = error.args[1] if len(error.args) == 2 and isinstance(error.args[1], list) else []
    network = [
        cause for cause in (error, *(cause for _, cause in tried)) if isinstance(cause, requests.RequestException)
    ]
    what = f"the {kind} of {name} could not be"
    kinds = ", ".join(sorted({type(cause).__name__ for cause in network}))
    if network:
        return (
            f"{what} fetched ({kinds}). Point IR_DATASETS_HOME at a folder where they are; 'python -m "
            f"ir_datasets export {name} docs', and so queries and qrels, fills ~/.ir_datasets where there is a network"
        )
    return f"{what} read by ir_datasets ({type(error).__name__}); delete them from IR_DATASETS_HOME to fetch them anew"
