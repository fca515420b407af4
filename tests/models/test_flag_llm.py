"""Decoders as rerankers against FlagEmbedding's own loops and, for two of them, its own models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from evalkit.errors import ConfigError, ModelError
from evalkit.models.batching import MAX_BATCHED_DRIFT
from evalkit.models.flag_cut_decoders import LayerwiseDecoder, LightweightDecoder
from evalkit.models.flag_decoders import Decoder, YesDecoder
from tests.models.conftest import MIXED_PAIRS, flag_llm
from tests.models.tiny_decoders import theirs

CONF = Path(__file__).parents[2] / "conf" / "reranker"
PAIRS = [list(pair) for pair in MIXED_PAIRS]
PROMPT = "Is B about A?"
KINDS: list[tuple[str, Decoder]] = [
    ("tiny_gemma", YesDecoder()),
    ("tiny_minicpm", LayerwiseDecoder(4)),
    ("tiny_cost_wise_gemma", LightweightDecoder(6, 4, [2, 4])),
]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Due to model constraints"),
    pytest.mark.filterwarnings("ignore:`max_length` is ignored"),
    pytest.mark.filterwarnings("ignore:`rope_scaling` is deprecated"),
    pytest.mark.filterwarnings("ignore:The attention mask API"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def kind(request: pytest.FixtureRequest) -> tuple[Path, Decoder]:
    name, decoder = request.param
    return request.getfixturevalue(name), decoder


def test_the_logit_of_yes_equals_compute_score(tiny_gemma: Path) -> None:
    expected = np.array(theirs("llm", tiny_gemma, max_length=128, prompt=PROMPT).compute_score(PAIRS))
    found = flag_llm(tiny_gemma, YesDecoder()).score(MIXED_PAIRS)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5


def test_texts_are_cut_and_prompted_as_in_compute_score(tiny_gemma: Path) -> None:
    limits: dict[str, Any] = {"max_length": 40, "query_max_length": 12}
    library = theirs(
        "llm",
        tiny_gemma,
        query_instruction_for_rerank="Q: ",
        passage_instruction_for_rerank="P: ",
        prompt=PROMPT,
        **limits,
    )
    found = flag_llm(tiny_gemma, YesDecoder(), query_prompt="Q: ", document_prompt="P: ", **limits).score(MIXED_PAIRS)
    assert np.abs(found - library.compute_score(PAIRS)).max() < 1e-5


@pytest.mark.parametrize(
    ("kind", "model", "decoder", "option"),
    [
        ("llm", "tiny_gemma", YesDecoder(), "bge_reranker_v2_gemma"),
        ("minicpm", "tiny_minicpm", LayerwiseDecoder(5), "bge_reranker_v2_minicpm_layerwise"),
        ("gemma", "tiny_cost_wise_gemma", LightweightDecoder(6, 1, []), "bge_reranker_v25_gemma2_lightweight"),
    ],
)
def test_the_prompts_of_a_yaml_are_those_that_flag_embedding_takes_by_itself(
    kind: str, model: str, decoder: Decoder, option: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    told = OmegaConf.load(CONF / f"{option}.yaml")
    prompts = {name: told[name] for name in ("prompt", "query_prompt", "document_prompt")}
    expected = theirs(kind, folder, max_length=128).compute_score(PAIRS)
    assert np.abs(flag_llm(folder, decoder, **prompts).score(MIXED_PAIRS) - expected).max() < 1e-5


@pytest.mark.parametrize("layer", [2, 4, 5])
def test_the_score_behind_a_layer_of_minicpm_equals_compute_score(tiny_minicpm: Path, layer: int) -> None:
    library = theirs("minicpm", tiny_minicpm, max_length=128, prompt=PROMPT)
    expected = np.array(library.compute_score(PAIRS, cutoff_layers=[layer]))
    reranker = flag_llm(tiny_minicpm, LayerwiseDecoder(layer))
    found = reranker.score(MIXED_PAIRS)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5
    assert len(reranker._library.copies[0].model.layers) == layer


@pytest.mark.parametrize(
    ("layer", "ratio", "merging"), [(2, 1, []), (5, 2, [3]), (6, 4, [2, 4]), (6, 8, [1]), (4, 2, [2, 5])]
)
def test_merged_tokens_give_the_scores_of_compute_score(
    tiny_cost_wise_gemma: Path, layer: int, ratio: int, merging: list[int]
) -> None:
    library = theirs("gemma", tiny_cost_wise_gemma, max_length=128, prompt=PROMPT)
    expected = np.array(
        library.compute_score(PAIRS, cutoff_layers=[layer], compress_ratio=ratio, compress_layers=merging)
    )
    reranker = flag_llm(tiny_cost_wise_gemma, LightweightDecoder(layer, ratio, merging))
    found = reranker.score(MIXED_PAIRS)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() < 1e-5
    assert len(reranker._library.copies[0].model.layers) == layer


def test_tokens_of_a_query_are_never_merged_and_those_of_a_document_are(tiny_cost_wise_gemma: Path) -> None:
    """A document of one token has none to merge, however high the ratio."""
    plain, merging = (
        flag_llm(tiny_cost_wise_gemma, LightweightDecoder(6, ratio, [3]), document_prompt="") for ratio in (1, 8)
    )
    one, many = ("what is Debian made of, and by whom?", "a"), ("what is Debian?", "a distribution of free software")
    assert np.abs(plain.score([one]) - merging.score([one])).max() < 1e-5
    assert np.abs(plain.score([many]) - merging.score([many])).max() > 1e-3


def test_a_document_without_any_token_is_scored(tiny_cost_wise_gemma: Path) -> None:
    reranker = flag_llm(tiny_cost_wise_gemma, LightweightDecoder(6, 2, [3]), document_prompt="")
    assert np.isfinite(reranker.score([("dove", "")])).all()


def test_a_score_does_not_depend_on_order_or_neighbours(kind: tuple[Path, Decoder]) -> None:
    reranker = flag_llm(*kind)
    together = reranker.score(MIXED_PAIRS)
    alone = np.array([reranker.score([pair])[0] for pair in MIXED_PAIRS])
    assert np.abs(reranker.score(MIXED_PAIRS[::-1])[::-1] - together).max() <= reranker.batch_drift
    assert np.abs(alone - together).max() <= reranker.batch_drift


def test_in_half_precision_each_pair_runs_on_its_own(kind: tuple[Path, Decoder]) -> None:
    """A step of float16 at a logit of 16 is more than a batch may cost."""
    single, half, brain = (
        flag_llm(*kind, dtype=dtype, device="cuda:0").batch_drift for dtype in ("float32", "float16", "bfloat16")
    )
    assert single < MAX_BATCHED_DRIFT < np.spacing(np.float16(16)) < half <= brain


@pytest.mark.parametrize("decoder", [None, "YesDecoder", {"cutoff_layer": 8}])
def test_what_is_no_decoder_is_refused_at_once(decoder: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reranker.decoder is .*; expected YesDecoder, LayerwiseDecoder or Light"):
        flag_llm(tmp_path / "absent", decoder)


@pytest.mark.parametrize(("query", "beyond"), [("short", 0), ("word " * 7, 26)])
def test_a_document_is_cut_exactly_where_its_count_passes_the_limit(tiny_gemma: Path, query: str, beyond: int) -> None:
    """A token is a byte here; the prompt has 13, of which the first token of all takes one."""
    reranker = flag_llm(tiny_gemma, YesDecoder(), max_length=64, query_max_length=40)
    lengths = range(30, 70)
    pairs = [(query, "a" * length) for length in lengths]
    counts, scores = reranker.count_tokens(pairs), reranker.score(pairs)
    assert counts.tolist() == [len("B: ") + length + beyond for length in lengths]
    cut = int(np.argmax(counts > 64))
    assert 0 < cut < 35
    assert np.abs(scores[cut:] - scores[cut - 1]).max() < 1e-5
    assert np.abs(np.diff(scores[:cut])).min() > 1e-4


def test_windows_are_read_whole_beside_their_query(tiny_gemma: Path) -> None:
    reranker = flag_llm(tiny_gemma, YesDecoder(), max_length=64, query_max_length=40)
    pairs = [("word " * 7, "every word of it counts, " * 5), ("short", "fits")]
    long, short = reranker.windows(pairs, 5)
    assert len(long) > 3
    assert short == ["fits"]
    counts = reranker.count_tokens([(pairs[0][0], window) for window in long])
    assert 50 < counts.max() <= 64


def test_nothing_is_asked_or_written_on_the_terminal(
    kind: tuple[Path, Decoder], capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even whether the code that a configuration names may run."""
    capfd.readouterr()
    flag_llm(*kind).count_tokens(MIXED_PAIRS[:1])
    flag_llm(*kind).score(MIXED_PAIRS[:1])
    assert capfd.readouterr() == ("", "")


def test_nothing_in_gives_nothing_out(tmp_path: Path) -> None:
    reranker = flag_llm(tmp_path / "absent", YesDecoder())
    assert reranker.score([]).shape == reranker.count_tokens([]).shape == (0,)


def test_a_layer_without_a_score_is_refused(tiny_minicpm: Path, tiny_cost_wise_gemma: Path) -> None:
    with pytest.raises(ConfigError, match=r"cutoff_layer is 1, but .* has scores behind the layers 2 to 5$"):
        flag_llm(tiny_minicpm, LayerwiseDecoder(1)).score(MIXED_PAIRS)
    with pytest.raises(ConfigError, match=r"cutoff_layer is 7, but .* has scores behind the layers 2 to 6$"):
        flag_llm(tiny_cost_wise_gemma, LightweightDecoder(7, 1, [])).score(MIXED_PAIRS)


def test_another_kind_of_model_is_refused(tiny_gemma: Path, tiny_embedder: Path) -> None:
    with pytest.raises(ModelError, match="has model_type 'gemma'; expected 'minicpm'"):
        flag_llm(tiny_gemma, LayerwiseDecoder(2)).score(MIXED_PAIRS)
    with pytest.raises(ModelError, match="has model_type 'gemma'; expected 'cost_wise_gemma'"):
        flag_llm(tiny_gemma, LightweightDecoder(2, 1, [])).score(MIXED_PAIRS)
    with pytest.raises(ModelError, match="would stay random: lm_head"):
        flag_llm(tiny_embedder, YesDecoder()).score(MIXED_PAIRS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head_type": "raw"}, "another head or other positions"),
        ({"head_multi": False}, "another head or other positions"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "another head or other positions"),
        ({"num_hidden_layers": 7}, r"no weights lm_head\.5\.linear_head\.weight|no weights for"),
    ],
)
def test_what_the_released_model_does_not_have_is_refused(
    tiny_minicpm: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = Path(shutil.copytree(tiny_minicpm, tmp_path / "other"))
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | change))
    with pytest.raises(ModelError, match=message):
        flag_llm(folder, LayerwiseDecoder(7 if "num_hidden_layers" in change else 5)).score(MIXED_PAIRS)


def test_a_model_without_layers_of_its_own_score_is_refused(tiny_cost_wise_gemma: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_cost_wise_gemma, tmp_path / "other"))
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"layer_wise": False}))
    with pytest.raises(ModelError, match="does not say layer_wise: true"):
        flag_llm(folder, LightweightDecoder(5, 1, [])).score(MIXED_PAIRS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerwiseDecoder(0), "decoder.cutoff_layer is 0; expected a whole number of at least 1"),
        (lambda: LightweightDecoder(25, 0, []), "decoder.compress_ratio is 0; expected"),
        (lambda: LightweightDecoder(25, 2, 8), "decoder.compress_layers is 8; expected a list of layers"),  # type: ignore[arg-type]
        (lambda: LightweightDecoder(25, 2, [0]), "decoder.compress_layers is 0; expected"),
        (lambda: flag_llm(Path("/no"), YesDecoder(), prompt=None), "reranker.prompt is null; expected text"),
        (lambda: flag_llm(Path("/no"), YesDecoder(), query_max_length=128), "query_max_length is 128; expected less"),
    ],
)
def test_impossible_options_are_refused_at_once(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_fingerprint_changes_with_every_option_that_changes_numbers(tiny_cost_wise_gemma: Path) -> None:
    decoder = LightweightDecoder(5, 2, [3])
    base = flag_llm(tiny_cost_wise_gemma, decoder).fingerprint
    assert base["class"] == "LightWeightFlagLLMReranker"
    for change in ({"prompt": "p"}, {"max_length": 64}, {"query_max_length": 20}, {"query_prompt": "q"}):
        assert flag_llm(tiny_cost_wise_gemma, decoder, **change).fingerprint != base
    for other in (LightweightDecoder(6, 2, [3]), LightweightDecoder(5, 4, [3]), LightweightDecoder(5, 2, [2])):
        assert flag_llm(tiny_cost_wise_gemma, other).fingerprint != base
    # Past the cutoff nothing is merged, and by a ratio of 1 neither.
    assert flag_llm(tiny_cost_wise_gemma, LightweightDecoder(5, 2, [3, 40])).fingerprint == base
    plain = flag_llm(tiny_cost_wise_gemma, LightweightDecoder(5, 1, [3])).fingerprint
    assert flag_llm(tiny_cost_wise_gemma, LightweightDecoder(5, 2, [])).fingerprint == plain != base
