# Every target sets up .venv when it needs it. Pass Hydra overrides with ARGS:
#   make eval ARGS="dataset=beir dataset.path=/data/mine sweep.top_k=[10,30,50]"
PYTHON ?= python3
ARGS ?=
BENCH ?= one_pass
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help eval gate baseline report verify compare serve test lint bench ui clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

eval: .venv/.eval ## does reranking pay? (ARGS="..." takes Hydra overrides)
	$(BIN)/evalkit run $(ARGS)

gate: .venv/.eval ## hold the newest result to conf/gate (ARGS="--min-points 5 --expectation fail")
	$(BIN)/evalkit gate $(ARGS)

baseline: .venv/.eval ## keep the newest result as what later ones must not fall behind
	$(BIN)/evalkit baseline $(ARGS)

report: .venv/.eval ## draw the newest result again, or measure it otherwise without a model (ARGS="expectation.top_k=30")
	$(BIN)/evalkit report $(ARGS)

verify: .venv/.eval ## derive the newest result again and check every file of it (ARGS=reports/<dataset>/<run id>)
	$(BIN)/evalkit verify $(ARGS)

compare: .venv/.eval ## two results side by side (A=reports/<dataset>/<run id> B=...)
	$(BIN)/evalkit compare $(A) $(B)

serve: .venv/.serve ## the reranker behind /v1/rerank (ARGS="reranker=bge_reranker_v2_m3 serve.port=8000")
	$(BIN)/evalkit serve $(ARGS)

test: .venv/.dev ## prove the tool
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev ## measure (BENCH=one_pass, analysis, corpus, coverage, gpu, parity, peers, report, runtimes, sequential or serving)
	$(BIN)/python -m tests.benchmarks.$(BENCH) $(ARGS)

ui: .venv/.eval ## serve MLflow's pages over the results, here only, and print their address (ARGS="--port 5001")
	$(BIN)/evalkit ui $(ARGS)

clean: ## forget results and what was computed; keep .venv and baselines
	rm -rf .evalkit
	find reports -mindepth 1 -maxdepth 1 ! -name baselines ! -name .gitkeep -exec rm -rf {} +

.venv/.eval: pyproject.toml .ci/constraints.txt
	@echo "Setting up .venv, once; this takes a few minutes."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[embedded]'
	touch $@

.venv/.serve: .venv/.eval
	$(INSTALL) --editable '.[serve]'
	touch $@

.venv/.dev: .venv/.eval
	$(INSTALL) --editable '.[dev]'
	touch $@
