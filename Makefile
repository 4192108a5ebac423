# make demo   the whole path on the drawn world      make test   everything that CI checks
# make setup  the .venv alone                        make clean  remove .venv and caches
# make test-flower   the tests that need the extra `flower`, in an environment of their own: it needs older packages
PYTHON ?= python3
VENV := .venv
FLOWER := .venv-flower
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-flower clean

setup: $(STAMP)

# pip, not uv: it takes a torch that is already on the machine's disk where pip is told of one.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: setup
	$(BIN)/fedmpt demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

test-flower: $(FLOWER)/.installed
	$(FLOWER)/bin/python -m pytest tests/trainer/flower

$(FLOWER)/.installed: requirements-flower.lock pyproject.toml
	test -x $(FLOWER)/bin/python || $(PYTHON) -m venv $(FLOWER)
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-flower.lock
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) $(FLOWER) .mypy_cache .ruff_cache .import_linter_cache
