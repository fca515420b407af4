"""What a part is made of, as the markdown tables of the datasheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from statistics import median

from built import Part, Row, percent
from structure import most_in_one_language

PASSAGES = {
    "engagement": "engagement letter",
    "vat": "VAT",
    "payroll": "payroll",
    "lease": "lease or premises",
    "bvg": "pension plan (BVG)",
    "closing 2023": "closing notes 2023",
    "closing 2024": "closing notes 2024",
    "deadlines": "deadlines",
    "bank": "bank and payment authorisation",
    "insurance": "insurance",
    "contact": "contact and billing",
    "matter": "special matter",
    "note": "general office note",
}
QUESTIONS = {
    "named": "name the client",
    "described": "describe the client",
    "multi": "need two or three passages",
    "many": "many answers",
    "general": "about the general notes",
}
STEPS = {count: str(count) for count in range(6)} | {10: "6 to 10", 20: "11 to 20"}
"""The greatest count of a step -> its name."""
WHERE = {
    (True, False): "in the asker's language only",
    (True, True): "in the asker's language and others",
    (False, True): "in other languages only",
    (False, False): "nowhere",
}
"""Whether some answers are in the asker's language, and whether some are not -> its name."""


def tables(part: Part) -> str:
    """Write the tables of one part.

    Args:
        part: The part.

    Returns:
        Markdown: passages, questions, answers per question, where the answers are, and grades.
    """
    answers = part.answers()
    own = {row.id: [found.lang == row.lang for found in answers[row.id]] for row in part.questions}
    several = len(part.languages) > 1
    blocks = [
        f"### {part.name}",
        _table("passages", part, part.passages, _passage_kind, PASSAGES.values()),
        f"Length: {_spread(part.passages)} words.",
        _table("questions", part, part.questions, lambda row: _label(QUESTIONS, row), QUESTIONS.values()),
        f"Length: {_spread(part.questions)} words.",
        _table("passages with grade 1 or 2, per question", part, part.questions, lambda row: _step(len(own[row.id]))),
    ]
    if several:
        blocks += [
            _table(
                "the same in the language with most of them",
                part, part.questions, lambda row: _step(most_in_one_language(answers[row.id])),
            ),
            _table("the same in the asker's language", part, part.questions, lambda row: _step(sum(own[row.id]))),
            _table("the answers are", part, part.questions, lambda row: _where(own[row.id]), WHERE.values()),
        ]  # fmt: skip
    return "\n\n".join([*blocks, _grades(part)]) + "\n"


def _where(own: list[bool]) -> str:
    return WHERE[any(own), not all(own)]


def _passage_kind(row: Row) -> str:
    kind, year = str(row.metadata.get("kind")), row.metadata.get("year")
    name = f"{kind} {year}" if kind == "closing" else kind
    return PASSAGES.get(name, name)


def _label(labels: dict[str, str], row: Row) -> str:
    kind = str(row.metadata.get("kind"))
    return labels.get(kind, kind)


def _step(count: int) -> str:
    return next((name for most, name in STEPS.items() if count <= most), "over 20")


def _spread(rows: list[Row]) -> str:
    counts = [len(row.text.split()) for row in rows]
    return f"{min(counts)} to {max(counts)}, median {median(counts):g}" if counts else "no"


def _table(
    title: str, part: Part, rows: list[Row], kind: Callable[[Row], str], order: Iterable[str] = STEPS.values()
) -> str:
    """Count rows by kind and language; kinds that do not occur are left out, unknown ones stand last."""
    counts = Counter((kind(row), row.lang) for row in rows)
    kinds = dict.fromkeys([*order, *sorted(name for name, _ in counts)])
    lines = {name: [counts[name, lang] for lang in part.languages] for name in kinds}
    lines = {name: numbers for name, numbers in lines.items() if any(numbers)}
    everything = [sum(column) for column in zip(*lines.values(), strict=True)]
    return _markdown(title, part.languages, lines | {"**all**": everything}, len(rows))


def _grades(part: Part) -> str:
    counts = Counter((f"grade {grade}", question.lang) for question, _, grade in part.judged())
    lines = {f"grade {grade}": [counts[f"grade {grade}", lang] for lang in part.languages] for grade in (2, 1, 0)}
    return _markdown("judgments", part.languages, lines, sum(counts.values()))


def _markdown(title: str, languages: tuple[str, ...], lines: dict[str, list[int]], total: int) -> str:
    """Lay out counts by language, with their sum and its share of everything."""
    names = [*languages, "all"] if len(languages) > 1 else ["count"]
    head = [f"| {' | '.join([title, *names, 'share'])} |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    for name, numbers in lines.items():
        shown = [*numbers, sum(numbers)] if len(languages) > 1 else numbers
        cells = [name, *(f"{number:,}" for number in shown), percent(sum(numbers), total)]
        head.append(f"| {' | '.join(cells)} |")
    return "\n".join(head)
