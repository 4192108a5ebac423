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

# Flower's packages alone, before those of .venv on Python's path: a second PyTorch would take another 7 GB of the disk.
$(FLOWER)/.installed: $(STAMP) requirements-flower.lock
	test -x $(FLOWER)/bin/python || $(PYTHON) -m venv $(FLOWER)
	rm -f $(FLOWER)/lib/python3*/site-packages/beneath.pth
	$(FLOWER)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-flower.lock
	echo "import site; site.addsitedir('$$($(abspath $(BIN))/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> $$($(FLOWER)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beneath.pth
	touch $@

clean:
	rm -rf $(VENV) $(FLOWER) .mypy_cache .ruff_cache .import_linter_cache
