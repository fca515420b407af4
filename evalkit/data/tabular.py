"""Rows of CSV, TSV, Parquet, JSON-lines and Excel files, each value as the file has it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path

from evalkit.data.columns import Dialect, check_columns
from evalkit.data.excel import excel_rows
from evalkit.data.files import plain_suffix, whole_lines
from evalkit.data.rows import Part, Row, json_rows
from evalkit.errors import DataError

DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1
"""Characters; the standard library stops at 131,072 otherwise, which documents exceed."""


def table(path: Path, needed: Collection[str] | None, dialect: Dialect) -> Part:
    """Rows of a file, each with the columns that are needed; empty cells are None.

    Args:
        path: The file; its suffix tells the format, ``.gz`` may follow those of text files.
        needed: Columns that must be there; None takes all that are.
        dialect: How it is written.

    Raises:
        DataError: The suffix is unknown; while reading: a column is missing or a row breaks the format.
    """
    suffix = plain_suffix(path)
    if suffix not in _FORMATS:
        raise DataError(f"the suffix {suffix!r} tells no format; expected one of {', '.join(_FORMATS)}", path)
    unit, read = _FORMATS[suffix]
    return Part(read(path, needed, dialect), path, unit)


def _csv_rows(path: Path, needed: Collection[str] | None, dialect: Dialect) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    content = _lines(path)
    first = next(((number, line) for number, line in content if line.strip()), None)
    if first is None:
        return
    start, header_line = first
    quote = dialect.quote
    number, header = start, None
    try:
        reader = csv.reader(
            chain([header_line], (line for _, line in content)),
            delimiter=dialect.delimiter or _delimiter(header_line, needed or (), quote),
            quotechar=quote,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=True,
        )
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
        if str(error).startswith("new-line character"):
            what = "a carriage return (CR) inside a row; expected lines that all end alike, in LF or CRLF. Save the "
            raise DataError(f"{what}file as 'CSV UTF-8', or quote the cell that holds it", path, number) from error
        advice = "Set dataset.quote=null if the file quotes nothing" if quote else "Mend this row"
        raise DataError(f"this row breaks the format of CSV ({error}). {advice}", path, number) from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines; they end in carriage returns where there is no line feed, as in Excel's CSV (Macintosh)."""
    for number, line in whole_lines(path):
        if number == 1 and not line.endswith("\n"):
            yield from enumerate(io.StringIO(line, newline="\r"), start=1)
        else:
            yield number, line


def _delimiter(header: str, needed: Collection[str], quote: str | None) -> str:
    """That which finds most of the columns that are needed, and of equals that which finds most columns."""

    def found(delimiter: str) -> tuple[int, int]:
        unquoted = csv.reader([header], delimiter=delimiter, quoting=csv.QUOTE_NONE)
        cells = next(csv.reader([header], delimiter=delimiter, quotechar=quote) if quote else unquoted)
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


_Reader = Callable[[Path, Collection[str] | None, Dialect], Iterator[tuple[int, Row]]]

_FORMATS: dict[str, tuple[str, _Reader]] = {
    ".csv": ("line", _csv_rows),
    ".tsv": ("line", _csv_rows),
    ".txt": ("line", _csv_rows),
    ".jsonl": ("line", _json_rows),
    ".ndjson": ("line", _json_rows),
    ".parquet": ("row", _parquet_rows),
    ".xlsx": ("row", excel_rows),
    ".xlsm": ("row", excel_rows),
}
"""Suffix -> what its rows are counted by, and what reads them."""
