"""Lines of text files, with their numbers, as public data sets really write them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from evalkit.errors import DataError


def find(folder: Path, name: str) -> Path:
    """The file ``name`` in ``folder``, plain or gzipped.

    Raises:
        DataError: The folder or the file is not there; the message lists what is.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder; expected one that holds {name}", folder)
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    present = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise DataError(f"neither {name} nor {name}.gz is here; found: {present}", folder)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield (1-based number, text) of every line that is not blank.

    Lines end at ``\n`` alone, so that U+0085 or U+2028 inside a JSON string stay inside; a byte
    order mark and carriage returns are dropped.

    Raises:
        DataError: The file is not UTF-8, or its gzip stream is damaged.
    """
    number = 0
    try:
        with _open(path) as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                text = line.decode("utf-8").rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 (byte 0x{error.object[error.start]:02x}); convert the file to UTF-8", path, number
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read after line {number}: {error}", path) from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
