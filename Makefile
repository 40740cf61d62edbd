# Two commands matter: `make demo` and `make test`; both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export HF_HUB_OFFLINE := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: demo test check fix bench clean

demo: $(VENV)/.analyst  ## ghost text from the shipped model, in real editor sessions
	$(BIN)/python -m bench.demo

test: $(VENV)/.dev  ## every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

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
