"""Rows of an Excel sheet, read through openpyxl."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from itertools import repeat
from pathlib import Path
from typing import Any

from evalkit.data.columns import Dialect, check_columns
from evalkit.data.rows import Row
from evalkit.errors import DataError, EvalkitError

_NOTABLE = re.compile(rb'<(?:\w+:)?(?:(f)[\s/>]|mergeCell\s[^>]{0,64}?ref="([A-Z0-9:]{1,32})")')
"""A formula or a merged cell in a sheet's XML."""
_OVERLAP = 128


def excel_rows(path: Path, needed: Collection[str] | None, dialect: Dialect) -> Iterator[tuple[int, Row]]:
    """(Excel's row number, row) of one sheet; its first row that is not empty names the columns.

    Raises:
        DataError: openpyxl is missing or cannot read the file, the sheet is not clear, a column is missing, cells
            are merged, a formula has no value, or a cell holds an error.
    """
    try:
        import openpyxl
    except ImportError as error:
        message = "openpyxl, which reads Excel, is not installed; run: pip install 'evalkit-rerank[excel]'"
        raise DataError(message, path) from error

    try:
        # Of what it does not know, such as drop-down lists, openpyxl warns, also while rows are read; hence a list.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="openpyxl")
            found = _read(openpyxl.load_workbook, path, needed, dialect)
    except EvalkitError:
        raise
    # openpyxl raises whatever it stumbles over.
    except Exception as error:
        what = f"cannot be read as an Excel workbook ({type(error).__name__})"
        raise DataError(f"{what}; save it as .xlsx without a password, or as CSV", path) from error
    return iter(found)


def _read(
    load: Callable[..., Any], path: Path, needed: Collection[str] | None, dialect: Dialect
) -> list[tuple[int, Row]]:
    with ExitStack() as stack:
        sheet = _sheet(path, stack.enter_context(closing(load(path, read_only=True, data_only=True))), dialect)
        formulas: Iterator[Any] = repeat(None)
        if _has_formulas(path, sheet):
            source = _sheet(path, stack.enter_context(closing(load(path, read_only=True))), dialect)
            formulas = _opened(stack, source.iter_rows(values_only=True))
        return list(_rows(path, _opened(stack, sheet.iter_rows()), formulas, needed))


def _opened(stack: ExitStack, rows: Any) -> Any:
    """Rows of a sheet; left halfway, they would keep the file open."""
    stack.callback(getattr(rows, "close", lambda: None))
    return rows


def _sheet(path: Path, book: Any, dialect: Dialect) -> Any:
    name, sheets = dialect.sheet, book.worksheets
    titles = [sheet.title for sheet in sheets]
    if name not in titles and (name is not None or len(sheets) != 1):
        found = "no sheet of that name" if name else f"{len(sheets)} sheets"
        raise DataError(f"{found}; set the sheet to one of: {', '.join(titles)}", path)
    sheet = sheets[titles.index(name) if name else 0]
    # What a file says about its size may be wrong, and would cut it.
    sheet.reset_dimensions()
    return sheet


def _has_formulas(path: Path, sheet: Any) -> bool:
    """Whether a sheet has formulas; merged cells are refused: all but the first of them would look empty."""
    formulas, before = False, b""
    with sheet._get_source() as stream:
        while chunk := stream.read(2**20):
            for mark in _NOTABLE.finditer(before + chunk):
                if mark[2]:
                    where = mark[2].decode()
                    raise DataError(f"merged cells ({where}); unmerge them and give every row its own values", path)
                formulas = True
            before = chunk[-_OVERLAP:]
    return formulas


def _rows(path: Path, cells: Any, formulas: Any, needed: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    header = dict[int, str]()
    for number, (row, source) in enumerate(zip(cells, formulas, strict=False), start=1):
        values = {place: cell for place, cell in enumerate(row) if cell.value not in (None, "")}
        if not header:
            names = [str(values[place].value).strip() if place in values else "" for place in range(len(row))]
            if values:
                check_columns(path, names, needed, number)
                header = {
                    place: name for place, name in enumerate(names) if name and (needed is None or name in needed)
                }
            continue
        for place, name in header.items():
            if place in values and values[place].data_type == "e":
                raise DataError(f"{name!r} holds the error {values[place].value}; mend the cell", path, number)
            if place not in values and source is not None and place < len(source) and source[place] is not None:
                what = f"{name!r} holds a formula without its value; open and save the file in Excel"
                raise DataError(what, path, number)
        if values:
            yield number, {name: values[place].value if place in values else None for place, name in header.items()}
