# The lab-book. Every command does its own set-up in .venv, once.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book html pdf test licences lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
JUPYTER_BOOK := $(BIN)/jupyter-book build
# One process per core, each with a file of its own; the chapters first, which take longest.
SPREAD := -n auto --dist loadfile --no-loadscope-reorder

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

book: $(VENV)/.full  ## execute every chapter, then render the book
	@$(BIN)/python -m labbook build

html: $(VENV)/.book  ## render the executed chapters in book/ (seconds, no torch)
	@said=$$($(JUPYTER_BOOK) -q . 2>&1 >/dev/null) || \
	    { echo "The book could not be rendered: $$(echo "$$said" | grep -E '^[A-Za-z.]*(Error|Exception): .' | tail -n 1)" >&2; exit 1; }; [ -z "$$said" ] || echo "$$said" >&2
	@echo "The book: _build/html/index.html"

pdf: $(VENV)/.book  ## render the executed chapters and print them as one PDF (needs Chromium)
	@$(BIN)/python -m labbook.book.pdf

test: $(VENV)/.full  ## style, library, notebooks (smoke profile, a pretend GPU if there is none), book without warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD) --nbval-lax --nbval-current-env notebooks tests

licences: $(VENV)/.full  ## list the licences of all that is installed
	@$(BIN)/pip-licenses --order=license --format=markdown --with-system --ignore-packages labbook pip

lock:  ## resolve the pins into exact versions with hashes, show what changed, test that
	@$(PYTHON) tests/lock.py
	@rm -rf _build/lock/venv
	@$(MAKE) test VENV=_build/lock/venv
	@$(MAKE) -s licences VENV=_build/lock/venv >requirements-licences.md

clean:  ## remove what was built; keeps .venv and the training runs in _build/runs
	@[ ! -d _build ] || find _build -mindepth 1 -maxdepth 1 ! -name runs -exec rm -rf {} +
	@rm -rf .pytest_cache .ruff_cache .hypothesis

# Set-up in two steps, so that reading the book does not need torch; every file is checked against the hash in its lock.
# .begun holds the number of the `make` that installs: what was interrupted is begun anew, never taken for whole.
BEGUN := $(VENV)/.begun
LEFT := $(wildcard $(BEGUN))
.PHONY: begun-anew
begun-anew:

$(VENV)/.book: requirements-book.lock $(if $(LEFT),begun-anew)
	@command -v $(PYTHON) >/dev/null || \
	    { echo "Python 3.11 or newer is needed, and there is no '$(PYTHON)' here (try: make PYTHON=/path/to/python3)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; $(PYTHON) is %d.%d (try: make PYTHON=python3.11)." % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "Python has no venv module here; install it first (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@! kill -0 $$(cat $(BEGUN) 2>/dev/null || echo x) 2>/dev/null || \
	    { echo "Another make is setting up $(VENV); wait for it, or delete $(BEGUN) if there is none." >&2; exit 1; }
	@if [ -e $(BEGUN) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then $(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing what renders the book into $(VENV) (once, about half a minute) ..."
	@$(call install,$(LOCKED) requirements-book.lock)
	@touch $@

$(VENV)/.full: $(VENV)/.book requirements.lock requirements-cpu.lock requirements-cuda.lock pyproject.toml
	@echo "Installing the library and its requirements into $(VENV) (once, a few minutes) ..."
	@$(call install,{ $(LOCKED) requirements-cpu.lock || $(LOCKED) requirements-cuda.lock; } && $(PIP) install --no-deps --no-build-isolation -e .)
	@touch $@

# $(call install,COMMANDS): run them; if they fail, say what pip said last and what to do.
LOCKED = $(PIP) install --require-hashes -r
define install
echo $$PPID >$(BEGUN); \
if said=$$({ $(1); } 2>&1); then rm $(BEGUN); else \
    echo "$$said" | grep -E '^(ERROR|OSError)' | tail -n 1 >&2; rm -f $(BEGUN); echo "$$said" 2>/dev/null >$(VENV)/pip.log; \
    echo "Set-up failed. Without a network it needs packages fetched before (book/rerun.md, Without a network)." \
        "The same command tries again; pip's log is $(VENV)/pip.log." >&2; \
    exit 1; fi
endef
