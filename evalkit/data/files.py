"""Lines of text files, with their numbers, as public data sets really write them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from evalkit.errors import DataError


def find(folder: Path, name: str, setting: str | None = None) -> Path:
    """The file ``name`` in ``folder``, plain or gzipped; ``setting`` is what named it, where one did.

    Raises:
        DataError: The folder or the file is not there; the message lists what is.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder; expected one that holds {name}", folder)
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    present = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    advice = f"; set {setting} to the path of one" if setting else ""
    raise DataError(f"neither {name} nor {name}.gz is here; found: {present}{advice}", folder)


def named_file(setting: str, path: Path) -> Path:
    """The file that a setting names, plain or gzipped.

    Raises:
        DataError: It is not there; the message lists what is.
    """
    if path.is_dir():
        raise DataError(f"a folder; expected a file; set {setting} to the path of one", path)
    if path.is_file():
        return path
    if path.parent.is_dir():
        return find(path.parent, path.name, setting)
    raise DataError(f"no such file; set {setting} to the path of one", path)


def plain_suffix(path: Path) -> str:
    """The suffix that tells the format, in lower case and without ``.gz``."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def plain_name(path: Path) -> str:
    """The name of a file without its suffixes, or of a folder as it is."""
    name = path.resolve().name
    return name if path.is_dir() else name.removesuffix(".gz").rpartition(".")[0] or name


def lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    r"""Yield (1-based number, text) of every line that is not blank.

    Lines end at ``\n`` alone, so that U+0085 or U+2028 inside a JSON string stay inside; a byte
    order mark and carriage returns are dropped.

    Raises:
        DataError: The file is in another encoding, or its gzip stream is damaged.
    """
    for number, line in whole_lines(path, encoding):
        if line.strip():
            yield number, line.rstrip("\r\n")


def whole_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (1-based number, text) of every line, blank ones and line ends included.

    Raises:
        DataError: As :func:`lines`.
    """
    number = 0
    try:
        with _open(path) as stream:
            for number, raw in enumerate(stream, start=1):
                yield number, (raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw).decode(encoding)
    except UnicodeDecodeError as error:
        found = f"not {encoding.upper()} (byte 0x{error.object[error.start]:02x})"
        raise DataError(f"{found}; convert the file to UTF-8", path, number) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read after line {number}: {error}", path) from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def fault(message: str, path: Path | None, number: int, unit: str = "line", entry: str | None = None) -> DataError:
    """What is wrong with one row: of a file by its line, of a library by what its rows are."""
    return DataError(message if path else f"{unit} {number}: {message}", path, number, entry)
