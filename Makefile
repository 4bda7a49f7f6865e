# Each target makes the virtual environment it needs. `make run` and `make test` are all a new user types.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=

.PHONY: run test kill faults disconnects crosstalk slow soak process check fmt bench bench-peers bench-guard clean

run: $(VENV)/.plain
	$(BIN)/prometheus-gateway serve $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

kill: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/test_kill.py $(ARGS)

faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/faults $(ARGS)

# Long loads, each with figures and bounds of its own; ARGS=--help tells how to change them.
disconnects crosstalk slow soak: $(VENV)/.dev
	$(BIN)/python -m tests.load.$@ $(ARGS)

# 1,000 reloads, 100 killed workers and 200 restarts, each under load.
process: $(VENV)/.dev
	$(BIN)/python -m pytest -s -m slow tests/test_reload.py tests/cli/test_workers.py tests/cli/test_systemd.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.plain
	$(BIN)/python -c 'from proxy.config.schema import reference; print(reference(), end="")' > docs/configuration.md
	$(BIN)/python -c 'from proxy.config.presets.reference import reference; print(reference(), end="")' > docs/upstreams.md
	$(BIN)/python -c 'from proxy.endpoints.document import document; print(document(), end="")' > docs/endpoints.md

bench: $(VENV)/.plain
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(VENV)/.plain
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks --systems all $(ARGS)

bench-guard: $(VENV)/.plain
	$(BIN)/python -m benchmarks.guard $(ARGS)

# Every byte of a hundred recorded streams as the point at which the upstream is cut; GATEWAY_CORPUS names their folder.
.PHONY: cuts
cuts: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/cuts $(ARGS)

# Twice the capacity by the clock: what is answered, and how soon the rest is refused.
.PHONY: overload
overload: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow -s tests/overload $(ARGS)

# Takes each safety out of a copy of the tree and demands that its tests fail; ARGS='"no bill"' tries one.
.PHONY: mutants
mutants: $(VENV)/.dev
	$(BIN)/python -m tests.mutants $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.plain: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml tests/node/package.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@if ! command -v npm > /dev/null; then echo 'no npm: the tests with the JavaScript SDK are skipped'; \
	elif ! npm install --prefix tests/node --silent --no-audit --no-fund --no-package-lock; then \
	echo 'npm failed: the tests with the JavaScript SDK are skipped'; fi
	@.ci/install-nginx
	touch $(VENV)/.plain $@
