# Two commands matter: `make demo` and `make test`; both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEER := build/peers/datatrove
# Compiling 21,000 modules takes minutes, and few of them are imported: each is compiled when it first
# is. So bytecode must be kept here, also where the shell says otherwise.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
export PYTHONDONTWRITEBYTECODE :=
export HF_HUB_OFFLINE := 1
export ORT_DISABLE_TELEMETRY := 1
NPM := build/npm
export NODE_PATH := $(CURDIR)/$(NPM)/node_modules

.PHONY: demo test docs site reference test-docs test-benchmarks test-loop test-export spark-test vscode test-vscode check fix bench bench-load bench-corpus bench-eval bench-telemetry clean

demo: $(VENV)/.analyst  ## ghost text from the shipped model, in real editor sessions
	$(BIN)/python -m bench.demo

test: $(VENV)/.dev $(NPM)/.ready  ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

docs: reference  ## the documentation as a site: build/site/index.html
	$(MAKE) site  # once the reference is written, under -j too

# Of the documents as they stand; a link that leads nowhere is an error.
site: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: $(VENV)/.dev  ## docs/reference and docs/metrics.md, from the code
	$(BIN)/python -m docs.site.reference

test-docs: $(VENV)/.docs  ## runs the commands of the documents, builds site and wheel
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m documentation --timeout 1800 tests/docs

BENCHMARKS ?= ../shared/benchmarks
test-benchmarks: $(VENV)/.dev $(NPM)/.ready  ## the eval harness on whole benchmarks: true answers, planted faults, load, kills
	FIMBLE_BENCHMARKS=$(abspath $(BENCHMARKS)) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m benchmarks --timeout 3600

test-loop: $(VENV)/.dev  ## the whole loop at toy size: killed, resumed, two turns of learning from people
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m loop tests/loop

ELSEWHERE := build/elsewhere
test-export: $(VENV)/.dev $(ELSEWHERE)/.ready  ## that transformers 4 and llama.cpp read the exports as we do
	$(BIN)/python -m pytest -m elsewhere tests/export/elsewhere

# transformers 4 with its own partners, the rest from our environment.
$(ELSEWHERE)/.ready: $(VENV)/.dev
	$(PYTHON) -m venv $(ELSEWHERE)/transformers-4
	$(ELSEWHERE)/transformers-4/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    transformers==4.57.6 huggingface-hub==0.36.0 tokenizers==0.22.1
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	    > $$(echo $(ELSEWHERE)/transformers-4/lib/python*/site-packages)/zz_ours.pth
	$(PYTHON) -m venv $(ELSEWHERE)/llama.cpp
	$(ELSEWHERE)/llama.cpp/bin/python -m pip install --quiet --disable-pip-version-check xllamacpp==2026.10.11549
	touch $@

EXTENSION := editors/vscode
vscode: $(EXTENSION)/node_modules/.ready  ## packs the VS Code extension: editors/vscode/fimble.vsix
	cd $(EXTENSION) && npx vsce package --no-dependencies --allow-missing-repository --out fimble.vsix

test-vscode: $(VENV)/.dev vscode  ## drives the extension in a real VS Code, in a headless Chromium
	cd $(EXTENSION) && npm test
	$(BIN)/python tests/vscode/fetch.py build/vscode || true  # the tests say that they are left out
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m vscode tests/vscode

$(EXTENSION)/node_modules/.ready: $(EXTENSION)/package-lock.json
	cd $(EXTENSION) && npm ci --no-fund --no-audit --loglevel error
	touch $@

SPARK := build/spark
spark-test: $(SPARK)/.ready  ## that Apache Spark itself builds the same corpus; needs Java
	$(SPARK)/bin/python -m pytest tests/corpus/test_engines.py

check: $(VENV)/.dev  ## lint, format, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyrefly check
	$(BIN)/lint-imports

fix: $(VENV)/.dev  ## what the linter can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.analyst  ## the latency tables of README and docs
	$(BIN)/python -m bench.keystrokes
	$(BIN)/python -m bench.engine_latency

USERS ?= 1,2,4,8
MINUTES ?= 1
bench-load: $(VENV)/.dev  ## how many users who type at once `fimble serve` carries on this machine
	$(BIN)/python -m bench.load --users $(USERS) --minutes $(MINUTES)

bench-corpus: $(VENV)/.dev $(PEER)/.ready  ## what building a corpus costs, and a peer on the same input
	$(BIN)/python -m bench.corpus.throughput
	$(BIN)/python -m bench.corpus.stage_costs
	$(BIN)/python -m bench.corpus.memory

bench-telemetry: $(VENV)/.analyst  ## questions to 50 million completions
	$(BIN)/python -m bench.telemetry.scale

clean:
	rm -rf $(VENV) build

$(VENV)/.analyst: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[analyst]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.analyst

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) --editable '.[dev,docs]'
	touch $@

# Tests of TypeScript say that they are left out where there is no npm.
$(NPM)/.ready: $(VENV)/.dev eval_harness/languages/typescript.py
	mkdir -p $(NPM)
	compiler=$$($(BIN)/python -c 'from eval_harness.languages.typescript import COMPILER_PACKAGE as p; print(p)') \
		&& npm install --no-save --no-fund --no-audit --loglevel error --prefix $(NPM) $$compiler || true
	touch $@

# The peer needs an older xxhash than our constraints name.
$(PEER)/.ready: pyproject.toml constraints.txt bench/corpus/datatrove.txt
	test -x $(PEER)/bin/python || $(PYTHON) -m venv $(PEER)
	grep -v '^xxhash==' constraints.txt > $(PEER)/constraints.txt
	$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(PEER)/constraints.txt --requirement bench/corpus/datatrove.txt --editable '.[corpus]'
	touch $@

$(SPARK)/.ready: pyproject.toml constraints.txt
	test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[corpus]' 'pyspark[connect]==4.2.0' psutil pytest pytest-asyncio pytest-timeout
	touch $@

HUMAN_EVAL := build/peers/human-eval
bench-eval: $(VENV)/.dev $(NPM)/.ready $(HUMAN_EVAL)/.ready  ## what judging costs: HumanEval's own runner, plain compilers
	$(BIN)/python -m bench.eval.python --benchmarks $(BENCHMARKS) --peer $(HUMAN_EVAL)/bin/python
	$(BIN)/python -m bench.eval.languages --benchmarks $(BENCHMARKS)

# HumanEval's runner with execution switched on; needs nothing but the standard library.
$(HUMAN_EVAL)/.ready:
	test -x $(HUMAN_EVAL)/bin/python || $(PYTHON) -m venv $(HUMAN_EVAL)
	$(HUMAN_EVAL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps human-eval-windows==1.0.4
	touch $@
