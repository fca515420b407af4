"""Faults to plant in a copy of the data set that ships, each with what its check must say of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "datasets" / "swiss_fiduciary"
GERMAN = (
    "Die Kundin hat uns im Mai gesagt, dass sie den Vertrag mit der Bank nicht mehr will und das Konto bis zum Ende "
    "des Jahres auflösen wird; wir haben ihr geraten, noch mit der Werkstatt zu sprechen."
)
FRENCH = (
    "La cliente nous a dit au mois de mai qu'elle ne veut plus du contrat avec la banque et que le compte sera soldé "
    "pour la fin de l'année ; nous lui avons conseillé de parler encore à l'atelier."
)
ENGLISH = "We told the owner that she has to send us the list of the staff by the end of May"

Line = dict[str, Any]


@dataclass
class Copy:
    """One part of the data set in a folder of its own, to plant faults in."""

    folder: Path
    part: str

    def __post_init__(self) -> None:
        shutil.copytree(DATA / self.part, self.folder / self.part)
        self.passages = self._read("corpus.jsonl")
        self.questions = self._read("queries.jsonl")
        lines = self.file("qrels/test.tsv").read_text(encoding="utf-8").splitlines()
        self.qrels = [line.split("\t") for line in lines]

    def _read(self, name: str) -> list[Line]:
        return [json.loads(line) for line in self.file(name).read_text(encoding="utf-8").split("\n") if line]

    def file(self, name: str) -> Path:
        return self.folder / self.part / name

    def write(self) -> None:
        for name, rows in (("corpus.jsonl", self.passages), ("queries.jsonl", self.questions)):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            self.file(name).write_text(content, encoding="utf-8")
        content = "".join("\t".join(row) + "\n" for row in self.qrels)
        self.file("qrels/test.tsv").write_text(content, encoding="utf-8")

    def question(self, kind: str = "named", at: int = 0) -> Line:
        return [row for row in self.questions if row["metadata"]["kind"] == kind][at]

    def judged(self, question: Line, *grades: str) -> list[list[str]]:
        return [row for row in self.qrels if row[0] == question["_id"] and row[2] in grades]

    def passage(self, name: str) -> Line:
        return next(row for row in self.passages if row["_id"] == name)

    def spare(self, lang: str, kind: str) -> Line:
        """A passage that answers no question, without the zeros that it was judged with."""
        used = {row[1] for row in self.qrels[1:] if row[2] != "0"}
        rows = [row for row in self.passages if row["metadata"]["lang"] == lang and row["metadata"]["kind"] == kind]
        found: Line = next(row for row in rows if row["_id"] not in used)
        key = found["_id"].partition("-")[2]
        self.qrels = [row for row in self.qrels if row[1].partition("-")[2] != key]
        return found


Plant = Callable[[Copy], dict[str, list[str]]]
"""Changes a copy, and tells which checks then fail, with ids or keys that the lines under each name."""


def repeated_id(copy: Copy) -> dict[str, list[str]]:
    first = copy.spare("en", "closing")
    copy.passages.append(first | {"text": f"{ENGLISH}. {ENGLISH}, for the second time."})
    return {"ids": [first["_id"]]}


def id_of_another_year(copy: Copy) -> dict[str, list[str]]:
    row = copy.spare("en", "closing")
    row["metadata"]["year"] = 1999
    return {"ids": [row["_id"]]}


def unknown_passage(copy: Copy) -> dict[str, list[str]]:
    copy.qrels.append([copy.question()["_id"], "en-nobody-vat", "1"])
    return {"answers": ["en-nobody-vat"]}


def unknown_question(copy: Copy) -> dict[str, list[str]]:
    copy.qrels.append(["en-q-nobody", copy.passages[0]["_id"], "1"])
    return {"answers": ["en-q-nobody"]}


def pair_judged_twice(copy: Copy) -> dict[str, list[str]]:
    row = copy.judged(copy.question(), "0")[0]
    copy.qrels.append(row)
    return {"answers": [f"{row[0]}, {row[1]}"]}


def question_without_an_answer(copy: Copy) -> dict[str, list[str]]:
    question = copy.question()
    for row in copy.judged(question, "1", "2"):
        row[2] = "0"
    return {"answers": [question["_id"]], "family grades": [question["metadata"]["family"]]}


def wrong_tag(copy: Copy) -> dict[str, list[str]]:
    row = copy.spare("en", "closing")
    row["metadata"]["lang"] = "de"
    return {"tags": [row["_id"]]}


def passage_in_another_language(copy: Copy) -> dict[str, list[str]]:
    row = copy.passages[0]
    row["text"] = GERMAN
    return {"languages of passages": [row["_id"]]}


def question_in_another_language(copy: Copy) -> dict[str, list[str]]:
    row = copy.question()
    row["text"] = "Wie hoch ist der Lohn für die Lernenden und wer zahlt ihn aus?"
    return {"languages of questions": [row["_id"]]}


def too_many_keywords(copy: Copy) -> dict[str, list[str]]:
    """61 of 303 questions, a fifth, without a function word."""
    rows = copy.questions[:61]
    for number, row in enumerate(rows):
        row["text"] = f"Kriterium{number} Ablage{number}"
    return {"languages of questions": [*(row["_id"] for row in rows), "too short to tell"]}


def nearly_the_same_question(copy: Copy) -> dict[str, list[str]]:
    """Four of the eight different words in common: one half."""
    one, other = copy.question(at=0), copy.question(at=1)
    one["text"], other["text"] = "where is the zephyr lantern stored", "WHERE is THE zephyr: kept safe?"
    return {"near questions": [f"{one['_id']}, {other['_id']}: 0.50"]}


def same_text_twice(copy: Copy) -> dict[str, list[str]]:
    one, other = copy.passages[:2]
    other["text"] = one["text"].upper().replace(".", " .")
    return {"same passages": [f"{one['_id']}, {other['_id']}"]}


def leaked_names(copy: Copy) -> dict[str, list[str]]:
    one, other = copy.question(at=0), copy.question(at=1)
    passages = [copy.passage(copy.judged(row, "2")[0][1]) for row in (one, other)]
    client, kind = passages[1]["_id"].split("-", 2)[1:]
    one["text"] += f" ({passages[0]['_id'].upper()})"
    other["text"] += f" ({client}/{kind})"
    return {"leaks": [f"{one['_id']}: names {passages[0]['_id']}", f"{other['_id']}: names {passages[1]['_id']}"]}


def copied_question(copy: Copy) -> dict[str, list[str]]:
    question = copy.question()
    answer = copy.passage(copy.judged(question, "2")[0][1])
    question["text"] = " - ".join(answer["text"].upper().split()[3:13])
    return {"copies": [f"{question['_id']}, {answer['_id']}"]}


def too_short_and_too_long(copy: Copy) -> dict[str, list[str]]:
    """29 and 121 words are faults, 30 and 120 are not."""
    words = f"{ENGLISH}, ".split() * 10
    for row, count in zip(copy.passages, (29, 30, 120, 121), strict=False):
        row["text"] = " ".join([*words[: count - 1], f"Ref{count}."])
    copy.questions[-1]["text"] = " "
    return {
        "lengths": [
            f"{copy.passages[0]['_id']}: 29", f"{copy.passages[3]['_id']}: 121", f"{copy.questions[-1]['_id']}: no word"
        ]
    }  # fmt: skip


def sharp_s(copy: Copy) -> dict[str, list[str]]:
    copy.passages[0]["title"] = "Straße"
    copy.questions[0]["text"] += " GROẞ"
    return {"sharp s": [f"{copy.passages[0]['_id']}: title, character 5", copy.questions[0]["_id"]]}


def foreign_amounts(copy: Copy) -> dict[str, list[str]]:
    """One in each passage; the last passage has what is right."""
    wrong = [
        "CHF 2024.00", "CHF 1250", "Fr. 1950.–", "1250.50", "4500", "18000", "CHF 1,250.00", "1.250.00", "CHF 1 250",
        "CHF 1\u00a0250.00", "1’250.00", "1'25.00", "1'2500", "12,5 %", "125,50",
    ]  # fmt: skip
    for row, amount in zip(copy.passages, wrong, strict=False):
        row["text"] += f" Ref {amount} as said"
    right = "1'250.00, CHF 950.50, CHF 1'250'000.00, Fr. 1'250.–, 8.725 %, 31.12.2024, 2024, Konto 1105, 0.5 and 24."
    copy.passages[len(wrong)]["text"] += f" Ref {right}"
    return {"amounts": [f"{row['_id']}: text" for row in copy.passages[: len(wrong)]]}


def ascii_umlauts(copy: Copy) -> dict[str, list[str]]:
    """In German by the vowels, elsewhere where the part knows the word with its umlaut; real words are none."""
    german, right, french = copy.spare("de", "vat"), copy.spare("de", "closing"), copy.spare("fr", "closing")
    german["title"] = "Loehne"
    right["text"] += " Zuerst die neue Steuer: Bauer, Quelle, aktuell, Aerosol, Zürich."
    french["text"] += " Voir aussi Zuerich, que la statue longue."
    return {"umlauts": [f"{german['_id']}: title, character 1", f"{french['_id']}: text"]}


def german_abbreviation(copy: Copy) -> dict[str, list[str]]:
    copy.passages[0]["text"] += " MwSt-Satz."
    copy.passages[1]["text"] += " Mwst."
    copy.passages[2]["text"] += " MWST, mwst."
    return {"MWST": [copy.passages[0]["_id"], copy.passages[1]["_id"]]}


def too_many_answers(copy: Copy) -> dict[str, list[str]]:
    """Ten questions of 303 had more than five answers; with six more it is 5.3 %."""
    rows = [row for row in copy.questions if row["metadata"]["kind"] == "named"][:6]
    unused = [row["_id"] for row in copy.passages if row["metadata"]["kind"] == "note"]
    for row in rows:
        taken = {found[1] for found in copy.judged(row, "0", "1", "2")}
        copy.qrels += [[row["_id"], name, "1"] for name in [name for name in unused if name not in taken][:5]]
    return {"many answers": [*(f"{row['_id']}: 6 in one language" for row in rows), "en-q-many-"]}


def family_without_italian(copy: Copy) -> dict[str, list[str]]:
    question = next(row for row in copy.questions if row["metadata"]["lang"] == "it")
    copy.questions.remove(question)
    copy.qrels = [row for row in copy.qrels if row[0] != question["_id"]]
    family = question["metadata"]["family"]
    return {"families": [f"{family}: asked in de, en, fr"], "family grades": [f"{family}, "]}


def family_of_two_kinds(copy: Copy) -> dict[str, list[str]]:
    copy.question("described")["metadata"]["kind"] = "multi"
    return {"families": ["of several kinds: described, multi"]}


def pair_not_judged_for_all(copy: Copy) -> dict[str, list[str]]:
    row = copy.judged(copy.question(), "0")[0]
    copy.qrels.remove(row)
    lang, _, key = row[1].partition("-")
    return {"family grades": [f"{key}: not judged for de asking for {lang}"]}


def two_across_languages(copy: Copy) -> dict[str, list[str]]:
    row = next(row for row in copy.qrels if row[2] == "1" and row[0][:2] != row[1][:2])
    row[2] = "2"
    wrong = f"{row[1][3:]}: wrong grade for {row[0][:2]} asking for {row[1][:2]}"
    return {"grades": [f"{row[0]}, {row[1]}"], "family grades": [wrong]}


def answer_in_one_language_only(copy: Copy) -> dict[str, list[str]]:
    row = next(row for row in copy.qrels if row[2] == "1" and row[0][:2] != row[1][:2])
    row[2] = "0"
    return {"family grades": [f"{row[1][3:]}: wrong grade for {row[0][:2]} asking for {row[1][:2]}"]}


def versions_judged_apart(copy: Copy) -> dict[str, list[str]]:
    row = next(row for row in copy.judged(copy.question("general"), "2") if "-note-" in row[1])
    row[2] = "1"
    return {"family grades": [f"{row[1][3:]}: its versions"]}


def note_without_french(copy: Copy) -> dict[str, list[str]]:
    note = copy.spare("fr", "note")
    copy.passages.remove(note)
    return {"notes and files": [f"{note['_id'][3:]}: missing in fr"]}


def file_in_two_languages(copy: Copy) -> dict[str, list[str]]:
    row = copy.spare("de", "closing")
    metadata = row["metadata"] | {"lang": "fr"}
    copy.passages.append({"_id": f"fr-{row['_id'][3:]}", "title": "Note", "text": FRENCH, "metadata": metadata})
    return {"notes and files": [f"{metadata['client']}: files in de, fr"]}


IN_ENGLISH: list[Plant] = [
    repeated_id, id_of_another_year, unknown_passage, unknown_question, pair_judged_twice,
    question_without_an_answer, wrong_tag, passage_in_another_language, question_in_another_language,
    too_many_keywords, nearly_the_same_question, same_text_twice, leaked_names, copied_question,
    too_short_and_too_long, sharp_s, foreign_amounts, german_abbreviation, too_many_answers,
]  # fmt: skip
IN_FOUR: list[Plant] = [
    ascii_umlauts, family_without_italian, family_of_two_kinds, pair_not_judged_for_all, two_across_languages,
    answer_in_one_language_only, versions_judged_apart, note_without_french, file_in_two_languages,
]  # fmt: skip
