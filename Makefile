# Wattseal: every target does the set-up it needs; all that it makes is below build/.
BUILD := build
PYTHON ?= python3
BIN := $(BUILD)/venv/bin
NPM := $(BUILD)/npm
STAMPS := $(BUILD)/stamps
SOURCES := host_tools/setup

.PHONY: help setup demo test fuzz lint bench firmware generate lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/venv $(STAMPS)/npm $(STAMPS)/micropython $(STAMPS)/typings ## fetch Python packages, anvil, MicroPython in two word sizes into build/

demo: setup firmware ## replay five real charging sessions: plug, relay, gateway, chain; LIE=receipt, balance or header: one, over a lying upstream
	@$(BIN)/wattseal demo $(if $(LIE),--lie $(LIE))

test: setup firmware ## run every test: firmware on both word sizes, host tools, contracts, end to end
	@$(BIN)/pytest -n 2 --dist loadgroup tests

fuzz: $(STAMPS)/venv ## fuzz what the gateway reads, a minute each; needs atheris, and says how to get it
	@$(BIN)/python tests/fuzz_gateway.py

lint: setup firmware ## ruff, mypy, pyright against the ESP32's API, mpy-cross for every architecture, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@cd firmware && ../$(NPM)/node_modules/.bin/pyright --warnings
	@$(BIN)/python contracts/generate.py --check
	@$(BIN)/python firmware/build.py generate --check
	@$(BIN)/python docs/generate_asyncapi.py --check

bench: setup firmware ## measure signing, gas, the relay under load, a month of sessions; writes build/bench.json (40 minutes)
	@$(BIN)/python tests/bench.py

firmware: $(STAMPS)/venv ## compile the firmware of every board for every architecture into build/firmware/
	@$(BIN)/python firmware/build.py trees
	@$(BIN)/python firmware/partition_table.py

generate: $(STAMPS)/venv ## make the generated files again from their one source
	@$(BIN)/python contracts/generate.py
	@$(BIN)/python contracts/compile.py
	@$(BIN)/python firmware/generate_comb_tables.py
	@$(BIN)/python firmware/build.py generate
	@$(BIN)/python docs/generate_asyncapi.py

lock: ## pin every package that requirements.in brings
	@rm -rf $(BUILD)/lock && $(PYTHON) -m venv $(BUILD)/lock && $(BUILD)/lock/bin/pip install --quiet --requirement $(SOURCES)/requirements.in
	@(echo "# Made by: make lock. Every package that requirements.in brings, pinned."; $(BUILD)/lock/bin/pip freeze --all | grep -v '^pip==') > $(SOURCES)/requirements.txt

clean: ## remove build/
	rm -rf $(BUILD)

$(STAMPS)/tools: $(SOURCES)/tools.sh
	@sh $(SOURCES)/tools.sh $(PYTHON)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/venv: $(SOURCES)/requirements.txt pyproject.toml $(STAMPS)/tools
	@echo "setup 1/4: Python packages into $(BUILD)/venv (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(BUILD)/venv
	@$(BIN)/pip install --quiet --no-deps --requirement $(SOURCES)/requirements.txt 2>$(STAMPS)/pip.log || { cat $(STAMPS)/pip.log >&2; exit 1; }
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable . 2>$(STAMPS)/pip.log || { cat $(STAMPS)/pip.log >&2; exit 1; }
	@touch $@

$(STAMPS)/npm: $(SOURCES)/package.json $(SOURCES)/foundry.py $(STAMPS)/tools
	@echo "setup 2/4: anvil, cast, pyright and uPlot into $(NPM)"
	@mkdir -p $(NPM) $(BUILD)/bin && cp $(SOURCES)/package.json $(NPM)/
	@cd $(NPM) && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	@$(PYTHON) $(SOURCES)/foundry.py $(BUILD)
	@touch $@

$(STAMPS)/micropython: $(SOURCES)/micropython.py $(STAMPS)/tools
	@echo "setup 3/4: MicroPython for 64-bit and 32-bit words into $(BUILD)/bin"
	@$(PYTHON) $(SOURCES)/micropython.py $(BUILD)
	@touch $@

$(STAMPS)/typings: $(SOURCES)/typings.txt $(STAMPS)/venv
	@echo "setup 4/4: type stubs of the ESP32 port into $(BUILD)/typings"
	@rm -rf $(BUILD)/typings
	@$(BIN)/pip install --quiet --no-deps --target $(BUILD)/typings --requirement $(SOURCES)/typings.txt 2>$(STAMPS)/pip.log || { cat $(STAMPS)/pip.log >&2; exit 1; }
	@touch $@
