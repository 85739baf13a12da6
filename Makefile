# make demo                                     the whole loop on a simulated shop; servers stay up
# make demo EVENTS=events.csv FORMAT=retailrocket   the same on real events
#           PRODUCTS=products.csv CUSTOMERS=customers.csv   with its products and customers
# make stop · make clean                        stop the servers · remove all state
# make test · make lint · make docs · make lock

PYTHON ?= python3
INTENT = .venv/bin/python -m intent_tasks.cli
# uv does not read pip's environment: pass on the package index that pip uses.
UV = env $${PIP_INDEX_URL:+"UV_DEFAULT_INDEX=$$PIP_INDEX_URL"} .venv/bin/uv
export VIRTUAL_ENV = $(CURDIR)/.venv
# Trust the certificates of this machine, such as those of a company proxy, as pip does.
export UV_SYSTEM_CERTS = 1
# Without bytecode files every server and step would compile its libraries at each start.
unexport PYTHONDONTWRITEBYTECODE
# Allow paths outside ASCII, also in the C locale.
export PYTHONUTF8 = 1

.PHONY: demo stop clean test lint docs lock

demo: export INTENT_DEMO_STARTED_AT := $(shell date +%s)
demo: .venv/.ready
	@$(INTENT) demo $${EVENTS:+--events "$$EVENTS"} $${FORMAT:+--format "$$FORMAT"} \
	  $${PRODUCTS:+--products "$$PRODUCTS"} $${CUSTOMERS:+--customers "$$CUSTOMERS"}

stop:
	@if [ -e .venv/.ready ]; then $(INTENT) down; else echo "Nothing is set up here."; fi

clean:
	@if [ -e .venv/.ready ]; then $(INTENT) down --delete; fi
	@rm -rf .venv .intent

test: .venv/.tools
	@.venv/bin/python -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder \
	  $(TESTS)

lint: .venv/.tools
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@if grep -nE '://' requirements*.lock; then echo "A lock records no addresses: make lock"; exit 1; fi

docs: .venv/.ready
	@.venv/bin/python -m tools.docs.generate
	@.venv/bin/python -m tools.docs.generate_simulator

lock: .venv/.uv
	@for name in requirements-bootstrap requirements requirements-dev; do \
	  $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --quiet --custom-compile-command 'make lock' $$name.in --output-file $$name.lock || exit 1; \
	done

# ── The virtual environment, from locks with hashes ─────────────────────────────────────────────

.venv/.uv: requirements-bootstrap.lock
	@"$(PYTHON)" bootstrap.py
	@"$(PYTHON)" -m venv --clear .venv || { echo "$(PYTHON) cannot make virtual environments: \
	install its venv module (Debian: python3-venv), or set PYTHON to another one."; exit 1; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-bootstrap.lock
	@touch $@

.venv/.ready: .venv/.uv requirements.lock pyproject.toml
	@echo "Installing the locked packages into .venv …"
	@$(UV) pip install --quiet --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.tools: .venv/.ready requirements-dev.lock
	@$(UV) pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
