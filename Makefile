# Two commands that do all their own set-up on a machine with only Python (3.11 or newer) and pip:
#   make train    make test
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist worksteal
# Not even collected by `make quick`: importing Lightning and Hydra takes as long as its tests.
PROGRAM := $(foreach folder,app data lightning models training,tests/$(folder) src/regtorch/$(folder)) src/regtorch/__main__.py
# Nor what takes long for what it adds to the rest.
LONG   := parity corpus third_party test_pages test_site wheel public floors files_refused mutants known_nets \
          doctor_odd doctor_false doctor_training doctor_advice doctor_programs doctor_decay \
          doctor_forms doctor_summed doctor_watch \
          test_debug test_fuse test_optimizers test_plot test_examples proximal_sums reference_solutions variation anchored \
          masked outputs_of_inputs doctor_norms doctor_activations doctor_page doctor_dropout
ARGS   ?= model=cnn reg=l2 reg.lam=0.01

.DEFAULT_GOAL := help
.PHONY: help train test test-slow quick lint types pytest docs cuda mutants clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

train: $(VENV)/.train ## Set up, then train the CNN with an L2 penalty (other overrides: make train ARGS="...")
	$(BIN)/python scripts/train.py $(ARGS)

test: lint types pytest ## Set up, then lint, type-check and test all but what is slow

test-slow: $(VENV)/.dev ## Run the slow tests, and those by random examples with five times as many
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile thorough

quick: $(VENV)/.dev ## Test the core, Keras and the doctor in less than a minute
	$(PYTEST) -p no:logging -p no:hydra_pytest -m "not slow and not script" -k "not compile and not optimum" --hypothesis-profile quick \
		tests src/regtorch $(PROGRAM:%=--ignore=%) \
		$(foreach part,$(LONG),--ignore-glob='*$(part)*')

lint: $(VENV)/.dev ## Check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev ## Check types
	$(BIN)/basedpyright --pythonpath $(BIN)/python

pytest: $(VENV)/.dev ## Run all tests but the slow
	$(PYTEST) -m "not slow"

docs: $(VENV)/.docs ## Build the documentation into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html
	@echo 'open docs/_build/html/index.html'

cuda: $(VENV)/.dev ## Test on a GPU, and measure there what rules cost, into docs/bench-cuda.json
	@$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || \
		{ echo "make cuda needs a GPU, and a PyTorch that sees it (torch.cuda.is_available() is False here)" >&2; exit 1; }
	$(BIN)/python -m pytest tests/gpu
	$(BIN)/python scripts/bench.py --device cuda --json docs/bench-cuda.json

mutants: $(VENV)/.dev ## Which small changes of a file do its tests not notice? make mutants FILE=src/regtorch/steps/hooks.py
	@PYTHONPATH=tests $(BIN)/python -m mutants $(FILE) \
		$(if $(N),--sample $(N)) $(if $(SEED),--seed $(SEED)) $(if $(MOST),--most $(MOST)) $(if $(TESTS),--tests $(TESTS))

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) docs/_build .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "regtorch needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Stamps: an extra is installed again only when pyproject.toml changed.
$(VENV)/.train $(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo 'installing the packages of [$*] into $(VENV); PyTorch takes some minutes the first time'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	@touch $@
