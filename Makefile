# qflowd: `make run` ends with a live dashboard, `make test` with a passed test run, both from a clean checkout.
VENV    ?= .venv
BIN      = $(VENV)/bin
CONFIG  ?= etc/qflowd.yaml
STATE   ?= var
SOURCES  = $(shell find web/src web/build.mjs web/tsconfig.json web/package.json -type f 2>/dev/null)

.PHONY: run test check fmt build bench soak clean help page browser promtool
.DEFAULT_GOAL := help

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: $(VENV)/.installed qflowd/static/index.html  ## Install what is needed, build the page, run the daemon on loopback
	@mkdir -p $(STATE)
	@echo "==> starting qflowd with $(CONFIG), state in $(STATE)/"
	@exec $(BIN)/qflowd run -c $(CONFIG) --set storage.path=$(abspath $(STATE)) $(ARGS)

test: check browser promtool $(VENV)/.tested qflowd/static/index.html booted  ## Check, then all tests, the browser's too
	@echo "==> tests of the page"
	cd web && npm test --silent
	@echo "==> tests of the daemon"
	$(BIN)/python -m pytest

check: $(VENV)/.tested web/node_modules/.installed  ## ruff, mypy, the layer test, TypeScript's checks
	@echo "==> checks"
	$(BIN)/ruff check qflowd tests benchmarks packaging
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit/test_layers.py
	cd web && npm run check --silent

fmt: $(VENV)/.tested  ## Sort imports and mend what ruff can
	$(BIN)/ruff check --fix qflowd tests benchmarks packaging

build: $(VENV)/.tested qflowd/static/index.html  ## Leave dist/qflowd-*.whl with the page inside
	rm -rf build/lib build/bdist.* dist/*.whl
	$(BIN)/python -m build --wheel

bench: $(VENV)/.benched  ## Run the benchmarks and print their tables
	@for f in benchmarks/[a-z]*.py; do echo "==> $$f"; $(BIN)/python $$f || exit 1; done
	@echo "==> benchmarks/fanout"
	@$(BIN)/python -m benchmarks.fanout $(FANOUT)

SOAK ?= 600
soak: $(VENV)/.benched  ## Let clients come and go for SOAK seconds (600): memory stays flat and no message is missed
	@$(BIN)/python -m benchmarks.fanout --no-comparison --scenarios soak --duration $(SOAK) --check

clean:  ## Remove everything that was built or installed here
	rm -rf build dist *.egg-info $(VENV) web/node_modules qflowd/static .mypy_cache .ruff_cache .pytest_cache .hypothesis

page: qflowd/static/index.html  ## Build the web page into the package

$(VENV)/bin/python:
	@echo "==> virtual environment in $(VENV)"
	python3 -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "==> Python dependencies"
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.tested: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "==> Python dependencies with those of the tests"
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.benched: $(VENV)/.tested
	@echo "==> the servers that the benchmarks compare with"
	$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

web/node_modules/.installed: web/package-lock.json
	@echo "==> JavaScript dependencies"
	cd web && npm ci --silent --no-audit --no-fund
	@touch $@

qflowd/static/index.html: web/node_modules/.installed $(SOURCES)
	@echo "==> web page"
	cd web && npm run build --silent

include packaging/package.mk

browser:
	@command -v chromium >/dev/null || { echo "==> installing chromium for the browser's tests"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

promtool:
	@command -v promtool >/dev/null || { echo "==> installing promtool for the tests of rules"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus >/dev/null; }
