"""Which language a text is in, by its function words, and what in it is not Swiss usage."""

from __future__ import annotations

import re
from collections.abc import Iterator

LEAD = 2
"""By how many function words a language must lead, so that one borrowed word decides nothing."""

FUNCTION_WORDS = {
    "de": """der die das dem den des ein eine einen einem einer eines und oder aber nicht kein keine mit von vom zu zum
        zur auf aus bei beim für ist sind war wird werden wurde hat haben kann muss darf soll auch noch nur nach über
        unter vor wie was wer wem wen wann wo warum welche welcher welches welchem sich es er sie wir uns unser unsere
        ihr ihre man als wenn dass ob im in am an bis seit ab um durch pro ohne je da hier dort so schon also alle mehr
        zwischen gegen sein seine diese dieser dieses gibt will wieviel woher wohin letzte letzten""",
    "fr": """le la les l un une des du de d et ou mais est sont était a ont pas ne que qu qui quoi quel quelle quels
        quelles quand où comment pourquoi combien pour par sur sous dans en avec sans chez au aux ce cette ces cet son
        ses leur leurs il elle ils elles nous notre nos on se y entre jusqu jusque depuis dès été être avoir fait lui si
        non toute tout tous toutes avant après encore peut doit faut quelque chaque n dernier derniers dernière""",
    "it": """il lo la gli i le l un uno una di d del della dello dei degli delle dell a al alla allo ai agli alle all da
        dal dalla dallo dai dalle dall in nel nella nei nelle nell su sul sulla sui sulle sull con per tra fra e ed o
        ma è sono era ha hanno non che chi cosa come quando dove perché quanto quanti quanta quale quali si ci ce ne se
        anche più solo dopo prima fino senza ogni loro suo sua noi viene vengono questo questa cui qui può deve nostro
        nostra entro due già""",
    "en": """the a an of to in on at by for from with and or but not no is are was were be been has have had do does did
        it its this that these those which who what when where why how much many we our us they their them he his her
        you your i if than then as until after before since under over per between can must may should would will into
        about only also there any all both still without last out up""",
}  # fmt: skip
COMMONEST = {lang: frozenset(listed.split()) for lang, listed in FUNCTION_WORDS.items()}
"""Language -> its commonest function words; a word of two languages speaks for both, and so decides nothing."""

AMOUNTS = re.compile(
    r"(?:CHF|Fr\.|francs|Franken|franchi)\s?\d{4}"  # thousands that run together, after the currency
    r"|(?<![\d'.])\d{4,}\.\d{2}(?![\d.])"  # or before centimes
    r"|(?<![\d'])(?<!Konto )(?<!compte )(?<!conto )(?<!account )(?!(?:19|20)\d\d(?!\d))\d{4}"  # or that are no year
    r"|\d[’ʼ´`]\d"  # another sign than the straight apostrophe
    r"|\d'(?!\d{3}(?!\d))"  # groups of other than three digits
    r"|(?<![\d'.,])\d{1,3}[,.\s]\d{3}(?![\d']|\s?%)"  # another sign between thousands, where no rate can be meant
    r"|\d,\d"  # a decimal comma
)
VAT = re.compile("(?!MWST|mwst)[Mm][Ww][Ss][Tt]")
TWO_VOWELS = re.compile(r"[aou]e")
ASCII_UMLAUT = re.compile(r"ae|oe|(?<![aeäq])ue")
REAL_WORDS = re.compile(r"aero|zuerst|uell")
"""German words in which two vowels meet without standing for an umlaut."""


def language(text: str) -> str | None:
    """Tell the language of a text by its function words, without looking at any tag.

    Args:
        text: A text in one of the four languages.

    Returns:
        The language that leads by ``LEAD`` words or more; None where none does.
    """
    tokens = re.findall(r"[^\W\d_]+", text.casefold())
    counts = {lang: sum(token in listed for token in tokens) for lang, listed in COMMONEST.items()}
    first, second, *_ = sorted(counts, key=lambda lang: -counts[lang])
    return first if counts[first] >= counts[second] + LEAD else None


def sharp_s(text: str) -> Iterator[int]:
    """Where a sharp s stands, which Swiss German writes as ss."""
    return (match.start() for match in re.finditer("[ßẞ]", text))


def amounts(text: str) -> Iterator[int]:
    """Where a number is not written as 1'250.00."""
    return (match.start() for match in AMOUNTS.finditer(text))


def vat(text: str) -> Iterator[int]:
    """Where VAT has its German rather than its Swiss abbreviation; all small letters are haste, not usage."""
    return (match.start() for match in VAT.finditer(text))


def letters(text: str) -> Iterator[tuple[int, str]]:
    """Where each word of letters stands, and the word without case."""
    return ((match.start(), match[0].casefold()) for match in re.finditer(r"[^\W\d_]+", text))


def ascii_umlauts(text: str, lang: str, vocabulary: set[str]) -> Iterator[int]:
    """Where an umlaut is spelt as two vowels.

    Args:
        text: A text.
        lang: Its language. German shows it by the vowels alone.
        vocabulary: All words of the part, without case: one that occurs with the umlaut is known in any language.

    Returns:
        The start of each word that is spelt so.
    """
    for start, word in letters(text):
        if TWO_VOWELS.search(word):
            folded = word.replace("ae", "ä").replace("oe", "ö").replace("ue", "ü")
            german = lang == "de" and ASCII_UMLAUT.search(word) and not REAL_WORDS.search(word)
            if german or folded in vocabulary:
                yield start
