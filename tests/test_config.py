"""Every YAML composes and builds; mistakes become one clear message."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from evalkit.analysis.grouping import FamilyRule
from evalkit.composition import compose_config, folder_of
from evalkit.config import build_plan, build_sinks, reports_folder
from evalkit.errors import ConfigError
from evalkit.findings import Expectation
from evalkit.types import Metric

CONF = Path(__file__).parents[1] / "conf"
COMMIT = "0" * 40
"""What a revision must look like."""
SERVED = ["embedder.model=m", "embedder.revision=r"]
"""What has no default where a server embeds."""
OPTIONS = sorted((file.parent.name, file.stem) for file in CONF.glob("*/*.yaml"))


def filled(overrides: list[str]) -> DictConfig:
    """Compose, and give every mandatory value that is still open some text."""
    config = compose_config(overrides)
    for key in sorted(OmegaConf.missing_keys(config)):
        OmegaConf.update(config, key, COMMIT if key.endswith(".revision") else "/some/place")
    return config


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_composes_and_builds(group: str, option: str) -> None:
    config = filled([f"{group}={option}"])
    plan = build_plan(config)
    assert plan.design.top_ks
    assert build_sinks(config)


def nodes_with_targets(config: Any) -> list[dict[str, Any]]:
    if isinstance(config, dict):
        found = [config] if "_target_" in config else []
        return found + [node for value in config.values() for node in nodes_with_targets(value)]
    return []


def arguments_of(of: type) -> set[str]:
    """Names of a constructor's arguments, those of a ``**choices: Unpack[TypedDict]`` included."""
    names: set[str] = set()
    hints = get_type_hints(of.__init__)
    for name, parameter in inspect.signature(of).parameters.items():
        packed = parameter.kind is inspect.Parameter.VAR_KEYWORD
        names |= set(get_type_hints(get_args(hints[name])[0])) if packed else {name}
    return names


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_argument_of_a_constructor_stands_in_its_yaml(group: str, option: str) -> None:
    """So that a misspelt override fails at once."""
    config = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"), resolve=False)
    for node in nodes_with_targets(config):
        assert set(node) - {"_target_"} == arguments_of(get_class(node["_target_"])), node["_target_"]


def test_the_default_plan_is_the_promised_one() -> None:
    plan = build_plan(compose_config([]))
    assert plan.design.top_ks == (10, 20, 30, 50)
    assert plan.design.expectation == Expectation(Metric("recall", 5), 50, 12, 18, "estimate")
    assert (plan.design.slices, plan.design.resamples, plan.design.seed) == (("lang", "kind"), 10_000, 0)
    assert (plan.family, plan.sequential) == (FamilyRule("family"), False)
    assert [str(metric) for metric in plan.design.metrics] == ["recall@5", "ndcg@5", "ndcg@10", "mrr@10", "hit_rate@5"]


def test_the_production_pair_is_one_override_away() -> None:
    config = compose_config(["experiment=bge_m3"])
    assert config.embedder.weights.repo == "BAAI/bge-m3"
    assert config.reranker.weights.repo == "BAAI/bge-reranker-v2-m3"


def test_an_embedder_behind_a_server_is_chosen_with_its_fields() -> None:
    fields = ["embedder.query_fields={input_type:query}", "embedder.document_fields={input_type:passage}"]
    fingerprint = build_plan(compose_config(["embedder=http", *SERVED, *fields])).embedder.fingerprint
    assert (fingerprint["backend"], fingerprint["weights"]) == ("http", "m@r")
    assert (fingerprint["query_fields"], fingerprint["document_fields"]) == (
        '{"input_type": "query"}',
        '{"input_type": "passage"}',
    )


def test_the_shipped_folders_are_found() -> None:
    assert folder_of("conf") == CONF
    assert Path(compose_config([]).dataset.path, "corpus.jsonl").is_file()


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["sweep.topk=[10]"], "no key 'sweep.topk'. Did you mean sweep.top_k? Keys of sweep: sequential, top_k."),
        (
            ["reranker=http", "reranker.timeout=5"],
            "no key 'reranker.timeout'. Did you mean reranker.timeout_s? Keys of reranker: _target_, allow_remote, ",
        ),
        (
            ["reranker=http", "reranker.fields={truncate: true}"],
            "reranker.fields holds raw_scores and no 'truncate'; to add it, write +reranker.fields.truncate=...",
        ),
        (
            ["reranker=http_tokenizer", "reranker.tokenizer={pth: x}"],
            "no key 'reranker.tokenizer.pth'. Did you mean reranker.tokenizer.path?",
        ),
        (["expectaton.top_k=10"], "Did you mean expectation.top_k?"),
        (["reranker=nothere"], "Could not find 'reranker/nothere'"),
        (["sweep.top_k=[10"], "cannot read the override sweep.top_k=[10: "),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(overrides: list[str], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config(overrides)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["dataset=beir"], "dataset.path has no value; pass it on the command line: dataset.path=..."),
        (["expectation.top_k=3", "sweep.top_k=[3,10]"], "choose a top_k above 5"),
        (["expectation.top_k=ten"], "expectation.top_k is 'ten'"),
        (["sweep.top_k=[10,1.5]"], "sweep.top_k is 1.5"),
        (["sweep.top_k=10"], "sweep.top_k is 10"),
        (["metrics.names=[recal@5]"], "Did you mean recall?"),
        (["expectation.min_points=low"], "expectation.min_points is 'low'"),
        (["expectation.max_points=high"], "expectation.max_points is 'high'"),
        (["expectation.min_points=20"], "expectation.min_points 20.0 is above max_points 18.0"),
        (["expectation.decide_on=mean"], "expectation.decide_on is 'mean'; expected estimate or lower_bound"),
        (["statistics.resamples=10"], "statistics.resamples is 10; expected a whole number of at least 100"),
        (["statistics.seed=-1"], "statistics.seed is -1"),
        (["statistics.slices=lang"], "statistics.slices is 'lang'; expected a list"),
        (["statistics.family=7"], "statistics.family is of type int; expected text, or null"),
        (["statistics.family_pattern='(('"], "is no regular expression"),
        (["sweep.sequential=perhaps"], "sweep.sequential is 'perhaps'; expected true or false"),
        (["dataset.limit=0"], "dataset.limit is 0; expected a whole number"),
        (["executor.chunk_size=0"], "executor.chunk_size is 0; expected a whole number of at least 1"),
        (["embedder.pooling=max"], "known are cls and mean"),
        (["retrieval.exclude_self=no"], "retrieval.exclude_self is 'no'; expected true or false"),
        (["+sweep.topk=[10]"], "sweep has no setting topk; expected top_k, sequential"),
        (["~sweep.sequential"], "sweep lacks sequential; expected top_k, sequential"),
        (["+metrics.cutoff=5"], "metrics has no setting cutoff; expected names"),
        (["+statistics.level=0.1"], "statistics has no setting level; expected resamples, seed, family"),
        (["~statistics.seed"], "statistics lacks seed"),
        (["+expectation.points=12"], "expectation has no setting points; expected metric, top_k, min_points"),
        (["+latency.warm_up=3"], "latency has no setting warm_up; expected queries, time_limit_s"),
        (["~latency.queries"], "latency lacks queries"),
        (["+long_documents.stage3=cut"], "long_documents has no setting stage3; expected stage1, stage2, overlap"),
        (["executor=null"], "executor cannot be null; its options are: local"),
        (["expectation=null"], "expectation cannot be null"),
        (["dataset.filters=abc"], "dataset.filters is 'abc'"),
        (["vector_store=server", "vector_store.timeout_s=abc"], "timeout_s"),
        (["embedder=http", "embedder.model=m"], "embedder.revision has no value"),
        (["embedder=http", *SERVED, "embedder.url=http://8.8.8.8/v1"], "set embedder.allow_remote=true"),
        (["embedder=http", *SERVED, "embedder.query_fields=query"], "embedder.query_fields is no mapping"),
        (["embedder._target_=evalkit.models.onnx.Nothing"], "evalkit.models.onnx.Nothing"),
    ],
)
def test_impossible_values_are_one_message(overrides: list[str], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_plan(compose_config(overrides))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_asked_can_be_changed_on_the_command_line() -> None:
    plan = build_plan(
        compose_config(
            [
                "expectation.max_points=null",
                "expectation.decide_on=lower_bound",
                "statistics.slices=[]",
                "statistics.family=null",
                "statistics.family_pattern='^..-(.*)$'",
                "statistics.resamples=100",
                "statistics.seed=3",
                "sweep.sequential=true",
            ]
        )
    )
    assert plan.design.expectation == Expectation(Metric("recall", 5), 50, 12, None, "lower_bound")
    assert (plan.design.slices, plan.design.resamples, plan.design.seed) == ((), 100, 3)
    assert (plan.family, plan.sequential) == (FamilyRule(None, "^..-(.*)$"), True)


def readme_overrides() -> list[list[str]]:
    """Every evalkit command of the README, as a shell splits it, paths and servers made up."""
    text = (CONF.parent / "README.md").read_text()
    found = re.findall(r"^(?:evalkit run|make eval ARGS=\")\s*([^\"#\n]+)", text, flags=re.M)
    return [[part for part in shlex.split(line) if not part.startswith("-") and part != "job"] for line in found]


@pytest.mark.parametrize("overrides", readme_overrides(), ids=" ".join)
def test_every_command_of_the_readme_composes_and_builds(overrides: list[str]) -> None:
    assert build_plan(filled(overrides)).design.top_ks


def test_the_readme_shows_commands() -> None:
    assert len(readme_overrides()) >= 6


@pytest.mark.parametrize("value", ["null", "5"])
def test_the_reports_folder_must_be_one(value: str) -> None:
    with pytest.raises(ConfigError, match="expected a folder"):
        reports_folder(compose_config([f"reports_dir={value}"]))


def test_a_sink_can_be_switched_off() -> None:
    left = list(build_sinks(compose_config(["sinks.mlflow=null"])))
    assert left == ["files", "markdown", "plots", "html", "terminal"]


def test_a_sink_that_is_no_class_is_named_in_full() -> None:
    with pytest.raises(ConfigError, match=r"^sinks\.html is 'plain'; expected null, or a class with its arguments"):
        build_sinks(compose_config(["sinks.html=plain"]))


def test_a_group_that_holds_no_settings_is_named() -> None:
    config = compose_config([])
    OmegaConf.update(config, "latency", 5, merge=False)
    with pytest.raises(ConfigError, match=r"^latency is 5; expected a mapping of queries, time_limit_s$"):
        build_plan(config)
