"""Everything that evalkit raises on purpose.

    EvalkitError            exit code 2: what was found, what was expected, what to do
    ├── ConfigError         the configuration asks for something impossible
    ├── DataError           a corpus, queries, qrels or run file is wrong (file and line)
    ├── ModelError          weights are missing, damaged or unfit, or a score is not a number
    ├── StoreError          a vector store or the cache cannot be reached, opened or trusted
    ├── SinkError           a finished result could not be written or sent on
    └── ControlError        exit code 5: a self-check failed

Any other exception is a bug in evalkit and ends the process with exit code 1.
"""

from __future__ import annotations

from pathlib import Path


class EvalkitError(Exception):
    """Base of every error that a user can cause and mend."""

    exit_code = 2


class ConfigError(EvalkitError):
    """The configuration asks for something that cannot be done."""


class DataError(EvalkitError):
    """An input file breaks its format; the message starts with the file and the line.

    Args:
        message: What was found, what was expected, what to do.
        path: The file, where one is to blame.
        line: Its 1-based line number, where one is to blame.
        entry: Id of the document or query that is to blame, where it has one.
    """

    def __init__(
        self, message: str, path: Path | None = None, line: int | None = None, entry: str | None = None
    ) -> None:
        self.path = path
        self.line = line
        self.entry = entry
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{place}{message}")


class ModelError(EvalkitError):
    """Model weights are missing, damaged or unfit, or a model returned no usable numbers."""


class StoreError(EvalkitError):
    """A vector store or the cache cannot be reached, opened or trusted."""


class SinkError(EvalkitError):
    """A finished result could not be written or sent on; the message says where it is safe, if it is."""


class ControlError(EvalkitError):
    """A self-check failed: no number of the result can be trusted, or none can be derived."""

    exit_code = 5
