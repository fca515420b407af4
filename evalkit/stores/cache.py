"""Remembered vectors and scores: one SQLite file, keyed by content."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from evalkit import checks
from evalkit.errors import StoreError
from evalkit.ports import Numbers

SCHEMA_VERSION = 1
_BUSY_S = 60.0
_KEYS_PER_QUERY = 1000
_RETRY_S = 0.02
_DTYPES: dict[str, np.dtype[np.floating]] = {"f4": np.dtype("<f4"), "f8": np.dtype("<f8")}


class SqliteCache:
    """Arrays of numbers by content key, in one file that several processes may use at once.

    float32 and float64 come back exactly as they were put, to the bit and in their own type.

    Args:
        path: The file; it is made, with its folder, at first use.

    Raises:
        ConfigError: The path is no path.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = checks.path("cache.path", path)
        self._connection: sqlite3.Connection | None = None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Numbers]:
        """The values of those keys that are known.

        Args:
            keys: Content keys, such as SHA-256 digests.

        Returns:
            Key -> read-only array of one dimension.

        Raises:
            StoreError: The file is damaged, of another version, or cannot be used.
        """
        found: dict[bytes, Numbers] = {}
        with self._opened() as connection:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, type, numbers FROM entry WHERE key IN ({marks})",  # noqa: S608 - ? marks
                    some,
                )
                found.update((key, np.frombuffer(numbers, _DTYPES[code])) for key, code, numbers in rows)
        return found

    def put(self, values: Iterable[tuple[bytes, Numbers]]) -> None:
        """Remember the values, all or none; a key that is known keeps its value.

        Args:
            values: Content key and float32 or float64 array of one dimension.

        Raises:
            StoreError: The file is damaged, of another version, or cannot be written.
        """
        # Drawn before the transaction: an iterable that computes would keep other processes waiting.
        rows = [(key, *_stored(numbers)) for key, numbers in values]
        with self._opened() as connection, _transaction(connection):
            # Keeping the first value makes every later run repeat the same numbers.
            connection.executemany("INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", rows)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, its errors translated."""
        try:
            if self._connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = self._connect()
            yield self._connection
        except OSError as error:
            raise StoreError(f"{self._path}: its folder cannot be made ({error.strerror})") from error
        except sqlite3.ProgrammingError:
            raise  # a wrong call, not a wrong file
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {_advice(error)}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            _write_ahead(connection)
            # A put holds seconds of model work and a commit costs one fsync, so FULL, which keeps it
            # through a power failure, is worth it; NORMAL keeps it through a kill -9 only.
            connection.execute("PRAGMA synchronous = FULL")
            with _transaction(connection):
                self._check_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """Create the table in a new file, or refuse a file of another version."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == 0:
            connection.execute("CREATE TABLE entry (key BLOB PRIMARY KEY, type TEXT NOT NULL, numbers BLOB NOT NULL)")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._path}: it has schema version {version}, this evalkit reads version {SCHEMA_VERSION}; name "
                "another file, or delete this one if it is evalkit's: only speed is lost"
            )


def _write_ahead(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for locks here, so processes that open a new file together would fail.
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    # IMMEDIATE: a lock that is taken at the first write cannot be waited for, and fails at once.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _stored(numbers: Numbers) -> tuple[str, bytes]:
    code = numbers.dtype.str[1:]
    if code not in _DTYPES or numbers.ndim != 1:
        raise TypeError(f"cannot remember {numbers.dtype} of shape {numbers.shape}; one float32 or float64 row")
    return code, numbers.astype(_DTYPES[code], copy=False).tobytes()


def _primary_code(error: sqlite3.Error) -> int:
    # Extended codes keep the primary one in their low byte; errors of the Python layer have none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _advice(error: sqlite3.Error) -> str:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return (
            f"the cache is damaged, or this is another program's file ({error}); if evalkit wrote it, delete the file: "
            "only speed is lost. If not, name another one with cache.path"
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return f"the cache is damaged ({error}); delete the file: only speed is lost"
    if code == sqlite3.SQLITE_BUSY:
        return f"another process kept the cache locked for {_BUSY_S:.0f} s; wait for it, or stop it"
    return f"the cache cannot be used ({error}); make it and its folder writable, or name another file"
