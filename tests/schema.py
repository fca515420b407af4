"""``result.json`` held against the schema that the package ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import evalkit

SCHEMA: dict[str, Any] = json.loads((Path(evalkit.__file__).parent / "result.schema.json").read_text(encoding="utf-8"))
_VALIDATOR = Draft202012Validator(SCHEMA)


def check(document: Any) -> None:
    """Refuse what the schema does not describe, and say where."""
    problems = [f"{error.json_path}: {error.message[:300]}" for error in _VALIDATOR.iter_errors(document)]
    assert not problems, "evalkit/result.schema.json does not describe this result:\n" + "\n".join(problems)


def check_file(path: Path) -> None:
    check(json.loads(path.read_text(encoding="utf-8")))
