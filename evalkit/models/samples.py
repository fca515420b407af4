"""Built-in texts that a loaded model is tried on: four languages, from two words to a page."""

from __future__ import annotations

from evalkit.ports import Pair

_QUESTIONS = (
    "How long must accounting records be kept?",
    "Wie lange müssen Geschäftsbücher aufbewahrt werden?",
    "Pendant combien de temps faut-il conserver la comptabilité ?",
    "Per quanto tempo si devono conservare i libri contabili?",
)
_PASSAGES = (
    "Accounting records and vouchers are kept for ten years. The period begins when the financial year ends. They may "
    "be kept on paper, electronically or in a comparable form, as long as they can be made readable at any time.",
    "Geschäftsbücher und Buchungsbelege sind während zehn Jahren aufzubewahren. Die Frist beginnt mit dem Ablauf des "
    "Geschäftsjahres. Geschäftsbericht und Revisionsbericht werden schriftlich und unterzeichnet aufbewahrt.",
    "La TVA est un impôt général sur la consommation. L'entreprise la facture à ses clients, déduit celle qu'elle a "
    "payée à ses fournisseurs et verse la différence ; le décompte est remis chaque trimestre, 60 jours après sa fin.",
    "Il pane si fa con farina, acqua, lievito e sale. L'impasto riposa per dodici ore al fresco, poi si cuoce a 230 °C "
    "per quaranta minuti: è pronto quando suona vuoto se lo si batte sul fondo.",
)
_SHORT = ("Ten years.", "§ 958f OR; 31.12.2024 = 100 %")

TEXTS = (*_PASSAGES, *_SHORT, " ".join(_PASSAGES[:2]))

PAIRS: tuple[Pair, ...] = (
    *zip(_QUESTIONS, _PASSAGES, strict=True),
    *zip(_QUESTIONS, _SHORT, strict=False),
    (_QUESTIONS[0], TEXTS[-1]),
)

LONG_TEXTS = tuple(" ".join(_PASSAGES * repeats) for repeats in (2, 8))
LONG_PAIRS: tuple[Pair, ...] = (
    *((_QUESTIONS[1], text) for text in LONG_TEXTS),
    *((_QUESTIONS[2], text) for text in _PASSAGES[::-1]),
    (" ".join(_QUESTIONS * 8), _PASSAGES[0]),
)
