# make demo                                     the whole loop on a simulated shop; servers stay up
# make demo EVENTS=events.csv FORMAT=retailrocket   the same on real events
#           PRODUCTS=products.csv CUSTOMERS=customers.csv   and what is sold, and who buys
# make stop · make clean                        stop the servers · remove all state
# make test · make lint · make docs · make lock

PYTHON ?= python3
INTENT = .venv/bin/python -m intent_tasks.cli
# uv reads pip's environment only by name: a package index that pip was told of counts for it too.
UV = env $${PIP_INDEX_URL:+"UV_DEFAULT_INDEX=$$PIP_INDEX_URL"} .venv/bin/uv
export VIRTUAL_ENV = $(CURDIR)/.venv
# Certificates that this machine trusts, those of a company proxy among them, as pip does.
export UV_SYSTEM_CERTS = 1
# Without compiled modules every start of a server or step would compile its libraries again.
unexport PYTHONDONTWRITEBYTECODE
# Paths with letters outside ASCII, also where the locale is plain C.
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
	@.venv/bin/python -m pytest $(TESTS)

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
