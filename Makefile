# Each target makes the virtual environment it needs. `make run` and `make test` are all a new user types.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
# Processes that share the tests. With ARGS there is one, so that a single file starts at once and a debugger can be used.
WORKERS ?= $(if $(ARGS),0,auto)
PYTEST_WORKERS = -n $(WORKERS) --maxprocesses 8 --dist worksteal
COMPILED ?= .venv-compiled
GATEWAY = $(if $(COMPILED),$(COMPILED)/.plain)
GATEWAY_OPTION = $(if $(COMPILED),--gateway $(abspath $(COMPILED))/bin/prometheus-gateway)

.PHONY: run help test check fmt docs screenshots release wheel test-compiled bench bench-peers bench-pages bench-routing bench-guard \
	faults cuts kill power process overload fuzz api-fuzz mutants disconnects crosstalk slow soak clean

# Another port: make run PORT=8090. Any options of `serve`: make run ARGS='--host 0.0.0.0 --workers 2'.
run: export PROMETHEUS_GATEWAY_MADE = 1
run: $(VENV)/.plain ## Run the gateway with its demo provider (the default target)
	@$(BIN)/prometheus-gateway serve $(if $(filter command,$(origin PORT)),--port $(PORT)) $(ARGS)

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Hundreds of tests start Pythons, each of which would compile every module again where no bytecode is written.
test test-compiled: export PYTHONDONTWRITEBYTECODE =
test: check ## Check, then run the tests
	$(BIN)/python -m pytest $(PYTEST_WORKERS) $(ARGS)

check: $(VENV)/.dev ## Check format, lint and types; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: $(VENV)/.dev ## Format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## Write the generated pages of docs/ again
	$(BIN)/python -m tests.documents.configuration > docs/configuration.md
	$(BIN)/python -m tests.documents.upstreams > docs/upstreams.md
	$(BIN)/python -m tests.documents.translation > docs/translation.md
	$(BIN)/python -m tests.documents.endpoints > docs/endpoints.md
	$(BIN)/python -m tests.documents.admin > docs/admin.md
	$(BIN)/python -m tests.documents.metrics
	$(BIN)/python -m tests.spec.compatibility > docs/compatibility.md
	$(BIN)/python -m tests.architecture.drawing

screenshots: $(VENV)/.dev ## Take the pictures of the pages in docs/images/ again
	$(BIN)/python -m tests.pages.screenshots $(ARGS)

release: $(VENV)/.dev ## Check that this commit can be released: version, changelog, docs, tag
	$(BIN)/python -m tests.release

# What requests run through is compiled, for this machine's Python. Needs a C compiler.
wheel: $(VENV)/.dev ## Build the compiled wheel to install on servers
	rm -rf build dist
	PROMETHEUS_COMPILE=1 $(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

# Run against the wheel and not against the files here; but for the loads, which start Pythons of their own.
test-compiled: $(COMPILED)/.dev ## Run the tests against the compiled wheel
	$(COMPILED)/bin/python -P -m pytest --import-mode=append --ignore=tests/load $(PYTEST_WORKERS) $(ARGS)

# Measured is the compiled gateway; COMPILED= measures the files as they are.
bench: $(VENV)/.plain $(GATEWAY) ## Measure the gateway beside nginx
	$(BIN)/python -m benchmarks $(GATEWAY_OPTION) $(ARGS)

bench-peers: $(VENV)/.plain $(GATEWAY) ## Measure it beside HAProxy, Envoy, vllm-router and LiteLLM too
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks --systems all $(GATEWAY_OPTION) $(ARGS)

bench-pages: $(VENV)/.plain ## Time the dashboard's queries over ten million rows; ROWS=N for another number
	$(BIN)/python -m benchmarks.pages $(if $(ROWS),--rows $(ROWS)) $(ARGS)

bench-routing: $(VENV)/.plain ## Show how soon the strategy "fastest" finds the faster target, and leaves it
	$(BIN)/python -m benchmarks.fastest $(ARGS)

bench-guard: $(VENV)/.plain $(GATEWAY) ## Measure, and fail where a budget is not met
	$(BIN)/python -m benchmarks.guard $(GATEWAY_OPTION) $(ARGS)

faults: $(VENV)/.dev ## Long: every fault of an upstream, on every endpoint
	$(BIN)/python -m pytest -m slow tests/faults $(ARGS)

# GATEWAY_CORPUS names the folder of the recordings.
cuts: $(VENV)/.dev ## Long: a hundred recorded streams, cut at every byte
	$(BIN)/python -m pytest -m slow tests/cuts $(ARGS)

kill: $(VENV)/.dev ## Long: kill -9 at any moment, and every bill is there
	$(BIN)/python -m pytest -m slow tests/process/test_kill.py $(ARGS)

# ARGS=--help tells how many.
power: $(VENV)/.dev ## Long: power cuts on a disk that drops, keeps or tears what was not synced
	$(BIN)/python -m tests.power $(ARGS)

process: $(VENV)/.dev ## Long: 1,000 reloads, 100 killed workers, 200 restarts, each under load
	$(BIN)/python -m pytest -s -m slow tests/process/test_reload_under_load.py tests/process/test_workers.py tests/process/test_systemd_units.py $(ARGS)

overload: $(VENV)/.dev ## Long: twice the capacity: how many are served, how soon the others are refused
	$(BIN)/python -m pytest -m slow -s tests/overload $(ARGS)

# ARGS="--seconds 1200 --seed 7" tells how long and which.
fuzz: $(VENV)/.dev ## Long: odd requests and odd responses until the time is over
	$(BIN)/python -m tests.fuzz $(ARGS)

# ARGS="-k createFile" tries one operation.
api-fuzz: $(VENV)/.dev ## Long: hundreds of requests to each operation of /openapi.json, made up by schemathesis
	$(BIN)/python -m pytest -m slow tests/pages/documentation/openapi $(ARGS)

# ARGS='"no bill"' tries one.
mutants: $(VENV)/.dev ## Long: take each safety out of a copy, and demand that its tests fail
	$(BIN)/python -m tests.mutants $(ARGS)

# Long loads, each with figures and bounds of its own; ARGS=--help tells how to change them.
disconnects: ## Load: clients that leave at any moment, each billed once
crosstalk: ## Load: each response goes to its own client, each bill to its own request
slow: ## Load: clients that do not read, heads that come a byte at a time
soak: ## Load: mixed traffic with faults for a long time; the ledger is exact, memory stays
disconnects crosstalk slow soak: $(VENV)/.dev
	$(BIN)/python -m tests.load.$@ $(ARGS)

clean: ## Remove what was built and installed here
	rm -rf $(VENV) .venv-compiled build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")'
	@echo 'Installing into $(VENV) (half a minute) …'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.plain: $(VENV)/bin/python pyproject.toml
	@if test -e $@; then echo 'Installing into $(VENV) again, for pyproject.toml has changed …'; fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml tests/node/package.json
	@echo 'Installing what the tests need into $(VENV) (a minute) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@if ! command -v npm > /dev/null; then echo 'no npm: the tests with the JavaScript SDK are skipped'; \
	elif ! npm install --prefix tests/node --silent --no-audit --no-fund --no-package-lock; then \
	echo 'npm failed: the tests with the JavaScript SDK are skipped'; fi
	@.ci/install-programs
	@touch $(VENV)/.plain $@

ifneq ($(COMPILED),)
$(COMPILED)/.plain: setup.py pyproject.toml $(shell find proxy -name '*.py')
	$(MAKE) wheel
	test -x $(COMPILED)/bin/python || $(PYTHON) -m venv $(COMPILED)
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall dist/*.whl
	touch $@

$(COMPILED)/.dev: $(COMPILED)/.plain
	$(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[dev]"
	touch $@
endif
