"""Rows of CSV, TSV, Parquet, JSON-lines and Excel files, values as the file has them: nothing is guessed to be missing."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from evalkit.data.files import plain_suffix, whole_lines
from evalkit.data.rows import Part, Row, json_rows
from evalkit.data.selection import LONGEST_SHOWN
from evalkit.errors import DataError

DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1
"""Characters; the standard library stops at 131,072 otherwise, which documents exceed."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written, where that can be chosen.

    Attributes:
        delimiter: Between the cells of a CSV file; None finds out which of comma, semicolon and tab it is.
        quote: What a CSV file puts around cells; None where it quotes nothing.
        sheet: Name of the Excel sheet; None takes the only one.
    """

    delimiter: str | None = None
    quote: str | None = '"'
    sheet: str | None = None


def table(path: Path, needed: Collection[str] | None, dialect: Dialect) -> Part:
    """Rows of a file, each with the columns that are needed; empty cells are None.

    Args:
        path: The file; its suffix tells the format, ``.gz`` may follow those of text files.
        needed: Columns that must be there; None takes all that are.
        dialect: How it is written.

    Raises:
        DataError: The suffix is unknown; while reading: a column is missing or a row breaks the format.
    """
    from evalkit.data.excel import excel_rows

    readers: dict[str, Callable[[Path, Collection[str] | None, Dialect], Iterator[tuple[int, Row]]]] = {
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
        ".txt": _csv_rows,
        ".parquet": _parquet_rows,
        ".jsonl": _json_rows,
        ".ndjson": _json_rows,
        ".xlsx": excel_rows,
        ".xlsm": excel_rows,
    }
    read = readers.get(plain_suffix(path))
    if read is None:
        raise DataError(f"the suffix tells no format that is known: {', '.join(readers)}", path)
    return Part(read(path, needed, dialect), path, "row" if read in (_parquet_rows, excel_rows) else "line")


def check_columns(path: Path, found: Sequence[str], needed: Collection[str] | None, line: int | None = None) -> None:
    """Refuse a header that lacks a column or has it twice.

    Raises:
        DataError: The message lists the columns, but for long ones: a file without a header starts with texts.
    """
    for name in needed or ():
        if found.count(name) == 1:
            continue
        if name in found:
            raise DataError(f"two columns are called {name!r}; rename one", path, line)
        shown = [repr(other) for other in found if len(other) <= LONGEST_SHOWN]
        others = [f"{len(found) - len(shown)} with long names"] if len(shown) < len(found) else []
        near = difflib.get_close_matches(name, found, n=1)
        hint = f" Did you mean {near[0]!r}?" if near and len(near[0]) <= LONGEST_SHOWN else ""
        raise DataError(f"no column {name!r}; found: {', '.join(shown + others) or 'none'}.{hint}", path, line)


def _csv_rows(path: Path, needed: Collection[str] | None, dialect: Dialect) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    content = whole_lines(path)
    first = next(((number, line) for number, line in content if line.strip()), None)
    if first is None:
        return
    start, header_line = first
    quote = dialect.quote
    reader = csv.reader(
        chain([header_line], (line for _, line in content)),
        delimiter=dialect.delimiter or _delimiter(header_line, needed or (), quote),
        quotechar=quote,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    number, header = start, None
    try:
        for cells in reader:
            if header is None:
                header = [cell.strip() for cell in cells]
                check_columns(path, header, needed, number)
                wanted = [(place, name) for place, name in enumerate(header) if needed is None or name in needed]
            elif any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    raise DataError(f"{len(cells)} cells; the header has {len(header)}", path, number)
                yield number, {name: cells[place] or None for place, name in wanted}
            number = start + reader.line_num
    except csv.Error as error:
        advice = "Set dataset.quote=null if the file quotes nothing" if quote else "Mend this row"
        raise DataError(f"this row breaks the format of CSV ({error}). {advice}", path, number) from error


def _delimiter(header: str, needed: Collection[str], quote: str | None) -> str:
    """That which finds most of the columns that are needed, and of equals that which finds most columns."""

    def found(delimiter: str) -> tuple[int, int]:
        quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        cells = next(csv.reader([header], delimiter=delimiter, quotechar=quote, quoting=quoting))
        return len({cell.strip() for cell in cells} & set(needed)), len(cells)

    return max(DELIMITERS, key=found)


def _json_rows(path: Path, needed: Collection[str] | None, _: Dialect) -> Iterator[tuple[int, Row]]:
    missing, seen, number = set(needed or ()), dict[str, None](), 0
    for number, row in json_rows(path):
        if missing:
            missing.difference_update(row)
            seen.update(dict.fromkeys(row))
        yield number, row if needed is None else {name: row.get(name) for name in needed}
    if missing and number:
        check_columns(path, list(seen), missing)


def _parquet_rows(path: Path, needed: Collection[str] | None, _: Dialect) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names, needed)
            for batch in file.iter_batches(batch_size=1024, columns=None if needed is None else list(needed)):
                for number, row in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020 - counts on
                    yield number, row
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"cannot be read as Parquet after row {number} ({type(error).__name__}); fetch or write it again"
        raise DataError(what, path) from error


def identifier_of(value: Any, name: str) -> str | None:
    """An id as text; a whole number that Excel or pandas made a float is written without its ``.0``.

    Raises:
        DataError: It is something else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - not a number
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise DataError(f"{name} of type {type(value).__name__}; expected text or a whole number")
    return str(value).strip() or None
