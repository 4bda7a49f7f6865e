# Each target makes the virtual environment it needs. `make run` and `make test` are all a new user types.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ARGS ?=
COMPILED ?= .venv-compiled
GATEWAY = $(if $(COMPILED),$(COMPILED)/.plain)
GATEWAY_OPTION = $(if $(COMPILED),--gateway $(abspath $(COMPILED))/bin/prometheus-gateway)

.PHONY: run test kill faults disconnects crosstalk slow soak process check fmt docs wheel test-compiled bench bench-peers bench-guard clean

# Another port: make run PORT=8090. Any options of `serve`: make run ARGS='--host 0.0.0.0 --workers 2'.
run: export PROMETHEUS_GATEWAY_MADE = 1
run: $(VENV)/.plain
	@$(BIN)/prometheus-gateway serve $(if $(filter command,$(origin PORT)),--port $(PORT)) $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

kill: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/process/test_kill.py $(ARGS)

faults: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/faults $(ARGS)

# Long loads, each with figures and bounds of its own; ARGS=--help tells how to change them.
disconnects crosstalk slow soak: $(VENV)/.dev
	$(BIN)/python -m tests.load.$@ $(ARGS)

# 1,000 reloads, 100 killed workers and 200 restarts, each under load.
process: $(VENV)/.dev
	$(BIN)/python -m pytest -s -m slow tests/process/test_reload_under_load.py tests/process/test_workers.py tests/process/test_systemd_units.py $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fmt: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/python -c 'from proxy.config.schema import reference; print(reference(), end="")' > docs/configuration.md
	$(BIN)/python -c 'from proxy.config.presets.reference import reference; print(reference(), end="")' > docs/upstreams.md
	$(BIN)/python -c 'from proxy.endpoints.document import document; print(document(), end="")' > docs/endpoints.md
	$(BIN)/python -m tests.spec.compatibility > docs/compatibility.md

# The wheel to install on servers: what requests run through is compiled, for this machine's Python. Needs a C compiler.
wheel: $(VENV)/.dev
	rm -rf build dist
	PROMETHEUS_COMPILE=1 $(BIN)/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

# The same tests, run against that wheel and not against the files here; but for the loads, which start Pythons of their own.
test-compiled: $(COMPILED)/.dev
	$(COMPILED)/bin/python -P -m pytest --import-mode=append --ignore=tests/load $(ARGS)

# Measured is the compiled gateway; COMPILED= measures the files as they are.
bench: $(VENV)/.plain $(GATEWAY)
	$(BIN)/python -m benchmarks $(GATEWAY_OPTION) $(ARGS)

bench-peers: $(VENV)/.plain $(GATEWAY)
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks --systems all $(GATEWAY_OPTION) $(ARGS)

bench-guard: $(VENV)/.plain $(GATEWAY)
	$(BIN)/python -m benchmarks.guard $(GATEWAY_OPTION) $(ARGS)

# Every byte of a hundred recorded streams as the point at which the upstream is cut; GATEWAY_CORPUS names their folder.
.PHONY: cuts
cuts: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow tests/cuts $(ARGS)

# Power cuts on a disk that drops, keeps or tears what was not synced; ARGS=--help tells how many.
.PHONY: power
power: $(VENV)/.dev
	$(BIN)/python -m tests.power $(ARGS)

# Twice the capacity by the clock: what is answered, and how soon the rest is refused.
.PHONY: overload
overload: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow -s tests/overload $(ARGS)

# Odd requests and odd answers until the time is over; ARGS="--seconds 1200 --seed 7" tells how long and which.
.PHONY: fuzz
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz $(ARGS)

# Takes each safety out of a copy of the tree and demands that its tests fail; ARGS='"no bill"' tries one.
.PHONY: mutants
mutants: $(VENV)/.dev
	$(BIN)/python -m tests.mutants $(ARGS)

clean:
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
