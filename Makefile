# Every target works without activating anything. PYTHON may name the interpreter to build .venv with.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
PORT ?= 8501

.PHONY: help setup demo test lint unit e2e browser bench clean

help:
	@echo "make demo    set everything up, build the demo workspace, serve it, print the address"
	@echo "make test    set everything up, run every test, browser tests included"
	@echo "make setup   only install, into .venv"
	@echo "make lint | unit | e2e   parts of the tests;   make bench   measurements;   make clean   remove .venv and the demo"

setup: .venv/.ready

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Errata needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || { echo "Making .venv ..."; $(PYTHON) -m venv .venv; }
	@echo "Installing Errata and what it needs into .venv (several GB with torch; a few minutes) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -q --upgrade pip
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e '.[dev]' \
	  | sed -u -n -e 's/^Collecting \([^ ]*\).*/  \1/p' -e '/^Successfully/p'
	@$(BIN)/python -c 'import streamlit, torch, analysis' 
	@touch $@

demo: setup
	$(BIN)/errata demo $(DEMO) --serve --port $(PORT)

test: lint unit e2e

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not e2e"

e2e: setup browser
	$(BIN)/python -m pytest -q -m e2e

# Debian's Chromium where it can be installed, else the build that Playwright brings.
browser: setup
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && echo "Installing chromium ..." \
	       && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	  || $(BIN)/playwright install chromium

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv $(DEMO)
