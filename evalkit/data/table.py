"""A table of questions and answers: CSV, TSV, Parquet, JSON lines or Excel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, Unpack

from evalkit.checks import path as checked_path
from evalkit.checks import text, unfit
from evalkit.data.columns import Dialect, is_empty, plain, text_cell
from evalkit.data.files import fault, named_file, plain_name
from evalkit.data.judgments import Judgments, collect
from evalkit.data.rows import Part, Row, entries
from evalkit.data.selection import assemble
from evalkit.data.source import Choices, Source
from evalkit.data.tabular import DELIMITERS, table
from evalkit.errors import ConfigError, DataError
from evalkit.types import Dataset, Document, Query, as_list

Names: TypeAlias = Mapping[str, str] | list[str] | None
"""Metadata key -> column, or columns that are keys at once."""

_ROLES = ("question", "answer", "question_id", "answer_id", "title", "grade", "question_lang", "answer_lang")
_PARTS = ("path", "id", "text", "title", "lang", "metadata", "sheet")
