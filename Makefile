# The same commands for people and CI. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DATA   ?= ../shared/data
PORT   ?= 3000

.DEFAULT_GOAL := help
.PHONY: help setup run dev test check format bench spark engines faults pictures lock clean

help: ## List these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv and install the pinned packages (does nothing when that is done)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fl_assets needs Python 3.11 or later; $(PYTHON) is `$(PYTHON) --version`. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) (a minute or three, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@$(BIN)/python -c 'import dagster, duckdb, fl_assets' && touch $(READY)

run: setup ## If there is no telemetry, simulate two weeks of a fleet; print what the latest cycle found
	@$(BIN)/fl-assets demo
	@$(BIN)/fl-assets cycle --if-new

dev: setup ## Open the Dagster UI on 127.0.0.1:3000 (PORT=... for another), with its home under data/dagster
	@DAGSTER_HOME= $(BIN)/fl-assets dev --host 127.0.0.1 --port $(PORT)

test: setup ## Run the tests
	@$(BIN)/python -m pytest -q -m "not faults" -n auto --dist loadfile

check: setup ## Lint, format, types, and the Dagster definitions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ty check --quiet || $(BIN)/ty check
	@DAGSTER_HOME= PYTHONWARNINGS="ignore:Function" $(BIN)/dagster definitions validate --workspace workspace.yaml --log-level warning

format: setup ## Format the code and fix what the linter can
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

bench: export FEDERATED_LEARNING_START_DATE = 2023-01-01
bench: setup ## Measure against the peers (docs/benchmarks.md; some twenty minutes; DATA names the real sets; installs presidio)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	@for name in fleet "federation --days 3 --nodes 6 --events-per-day 60000" confidence outcomes redaction "throughput --events 1000000" "grouping --data $(DATA)/loghub" \
		"failure_patterns --data $(DATA)/tau_bench_airline" "failure_patterns --data $(DATA)/agentrx_tau_retail" \
		"conversation_signals --data $(DATA)/tau_bench_airline" "faults_found --data $(DATA)/nezha_trainticket"; do \
		set -- $$name; script=$$1; shift; \
		case "$$*" in *--data*) [ -d "$$2" ] || { echo "== $$script: skipped, $$2 is not there"; continue; };; esac; \
		echo "== $$script $$*"; $(BIN)/python benchmarks/$$script.py "$$@" || exit 1; done

spark: setup ## Install PySpark, for the engine of docs/engines.md (434 MB; needs Java 17)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r benchmarks/spark.lock

engines: spark ## Compare the Spark engine with the default one, on 200 000 generated and all real events (some minutes)
	@$(BIN)/python benchmarks/engines.py --data $(DATA)

faults: setup ## Run the fault-injection tests (some minutes)
	@$(BIN)/python -m pytest -q -m faults

pictures: setup ## Take the README's pictures from the running product (some minutes; needs chromium)
	@$(BIN)/python docs/make_pictures.py

lock: setup ## Write the lock files anew from pyproject.toml
	@for target in "requirements.lock --group dev" "benchmarks/requirements.lock --group dev --group bench -c requirements.lock" \
		"deploy/requirements.lock --extra postgres --extra object-storage --group image -c requirements.lock"; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links \
			--no-annotate --no-header pyproject.toml -o $$target > /dev/null || exit 1; done
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["spark"], sep="\n")' | \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-annotate --no-header -c requirements.lock - -o benchmarks/spark.lock > /dev/null

clean: ## Remove .venv and what cycles make under data/ (not telemetry, adapters, updates and keys)
	@rm -rf $(VENV) data/lake data/lake-mirror data/warehouse.duckdb* data/warehouse.results data/index.sqlite* data/summaries.sqlite* data/dagster data/federated-learning/playbooks data/reports data/tmp data/*.lock
