"""Checks of ids, tags, families and grades: what can be said without reading a text."""

from __future__ import annotations

from collections import Counter, defaultdict

from built import Finding, Part, Row, percent

MANY = 5
"""More answers than this in one language are many."""
MOST_MANY = 0.05
"""At most this share of the questions may have many answers."""


def ids(part: Part) -> Finding:
    """Ids occur once, start with a language of the part, and say what their line says."""
    rows = [row.id for row in part.passages + part.questions]
    faults = [f"{name}: given {count} times" for name, count in Counter(rows).items() if count > 1]
    faults += [
        f"{name}: starts with no language of the part" for name in rows if name.partition("-")[0] not in part.languages
    ]
    faults += [f"{row.id}: expected {said} by its metadata" for row in part.passages if (said := _said(row)) != row.key]
    for row in part.questions:
        if row.key != f"q-{row.metadata.get('family')}":
            faults.append(f"{row.id}: not the id of a question of family {row.metadata.get('family')}")
    return Finding("occur once, start with their language, agree with client, kind, year and family", faults)


def _said(row: Row) -> str:
    """The key that the metadata of a passage make; matters and notes have a name of their own."""
    client, kind, year = (row.metadata.get(name) for name in ("client", "kind", "year"))
    if kind in ("matter", "note"):
        start = f"{client}-" if kind == "matter" else "note-"
        return row.key if row.key.startswith(start) else f"{start}..."
    return f"{client}-{kind}" + (f"-{year}" if year else "")


def answers(part: Part) -> Finding:
    """The qrels name passages and questions that exist, no pair twice, and answer every question."""
    passages, questions = {row.id for row in part.passages}, {row.id for row in part.questions}
    faults = []
    for (question, passage), count in Counter(judgment[:2] for judgment in part.judgments).items():
        if question not in questions or passage not in passages:
            faults.append(f"{question}, {passage}: one of them does not exist")
        if count > 1:
            faults.append(f"{question}, {passage}: judged {count} times")
    answered = part.answers()
    faults += [f"{question}: no answer" for question, found in answered.items() if not found]
    used = len({passage.id for found in answered.values() for passage in found})
    shown = f"every id of the qrels exists, every question has an answer; {used} passages answer at least one question"
    return Finding(shown, faults)


def tags(part: Part) -> Finding:
    """The tag of a row is the start of its id."""
    faults = [
        f"{row.id}: tagged {row.lang or 'with nothing'}"
        for row in part.passages + part.questions
        if row.lang != row.prefix
    ]
    return Finding("metadata.lang is the start of the id", faults)


def families(part: Part) -> Finding:
    """A family is one question in every language of the part, of one kind."""
    members = _families(part)
    faults = []
    for family, rows in members.items():
        found = sorted(row.lang for row in rows)
        if found != sorted(part.languages):
            faults.append(
                f"{family}: asked in {', '.join(found)}; expected once in each of {', '.join(part.languages)}"
            )
        kinds = sorted({str(row.metadata.get("kind")) for row in rows})
        if len(kinds) > 1:
            faults.append(f"{family}: of several kinds: {', '.join(kinds)}")
    each = "one question" if len(part.languages) == 1 else f"one question in each of {len(part.languages)} languages"
    return Finding(f"{len(members)} families, each {each}, of one kind", faults)


def _families(part: Part) -> dict[str, list[Row]]:
    members: dict[str, list[Row]] = defaultdict(list)
    for row in part.questions:
        members[str(row.metadata.get("family"))].append(row)
    return members


def family_grades(part: Part) -> Finding:
    """The questions of a family have the same judged passages, and one judgment gives all grades of a passage.

    That judgment is the grade in the passage's own language, which all versions of a note share; the other languages
    have it too, but never more than 1. At least one passage of a family has a 2.
    """
    versions: dict[str, list[str]] = defaultdict(list)
    for row in part.passages:
        versions[row.key].append(row.prefix)
    given: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for question, passage, grade in part.judged():
        family = str(question.metadata.get("family"))
        given[family, passage.key][question.prefix, passage.prefix] = grade
    faults = []
    for (family, key), found in given.items():
        wanted = {(asked, written) for asked in part.languages for written in versions[key]}
        own = {grade for (asked, written), grade in found.items() if asked == written}
        if missing := sorted(wanted - set(found)):
            faults.append(f"{family}, {key}: not judged for {', '.join(f'{a} asking for {w}' for a, w in missing)}")
        elif len(own) != 1:
            faults.append(f"{family}, {key}: its versions have different grades in their own languages")
        else:
            wrong = sorted(pair for pair, grade in found.items() if pair[0] != pair[1] and grade != min(1, *own))
            faults += [f"{family}, {key}: wrong grade for {asked} asking for {written}" for asked, written in wrong]
    best = dict.fromkeys(_families(part), 0)
    for (family, _), found in given.items():
        best[family] = max(best[family], *found.values())
    faults += [f"{family}: no passage has a 2" for family, grade in best.items() if grade < 2]
    shown = f"{len(given)} pairs of family and passage, judged for every asker; one judgment gives all grades of a pair"
    return Finding(shown, faults)


def notes_and_files(part: Part) -> Finding:
    """A general note is there in every language, the file of a client in one."""
    notes: dict[str, set[str]] = defaultdict(set)
    files: dict[str, set[str]] = defaultdict(set)
    for row in part.passages:
        if row.metadata.get("kind") == "note":
            notes[row.key].add(row.prefix)
        else:
            files[str(row.metadata.get("client"))].add(row.prefix)
    faults = [
        f"{key}: missing in {', '.join(sorted(set(part.languages) - found))}"
        for key, found in notes.items()
        if found != set(part.languages)
    ]
    faults += [f"{client}: files in {', '.join(sorted(found))}" for client, found in files.items() if len(found) > 1]
    shown = f"{len(notes)} notes, each in {', '.join(part.languages)}; {len(files)} clients, each in one language"
    return Finding(shown, faults)


def grades(part: Part) -> Finding:
    """A passage in another language than the question's answers it with grade 1 at most."""
    counts = Counter(grade for *_, grade in part.judgments)
    faults = [
        f"{question.id}, {passage.id}: grade 2 across languages"
        for question, passage, grade in part.judged()
        if grade == 2 and question.lang != passage.lang
    ]
    shown = ", ".join(f"{counts[grade]} times {grade}" for grade in (2, 1, 0))
    return Finding(f"2 only in the asker's language; {shown}", faults)


def many_answers(part: Part) -> Finding:
    """Few questions have many answers in one language, since Recall@5 cannot reach 1 there."""
    most = {question: most_in_one_language(found) for question, found in part.answers().items()}
    many = [question for question, count in most.items() if count > MANY]
    shown = f"{len(many)} questions ({percent(len(many), len(most))}) with more than {MANY} in one language"
    faults = [f"{name}: {most[name]} in one language" for name in many] if len(many) > MOST_MANY * len(most) else []
    return Finding(f"{shown}, at most {MOST_MANY * 100:.0f} %", faults)


def most_in_one_language(found: list[Row]) -> int:
    """The number of answers in the language that has most of them."""
    return max(Counter(row.lang for row in found).values(), default=0)
