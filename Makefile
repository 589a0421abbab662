# One environment for people and for CI: `make demo`, `make test`, `make lint`, `make bench` need only Python 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
OUT    ?= results/demo
BENCH   = $(BIN)/python -m pytest -q -o addopts= -o pythonpath=benchmarks --confcutdir=benchmarks --import-mode=importlib -o filterwarnings=default benchmarks
LIBRARY = transforms attribution axioms metrics studies

.PHONY: demo test lint format bench bench-quick clean
demo: $(VENV)/demo.done
	$(BIN)/pullback compare --out $(OUT)

test: $(VENV)/test.done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

# mypy finds a package by its folder's name, and a checkout may have any name: a link called `pullback` settles it.
lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/link && ln -sfn ../.. $(VENV)/link/pullback
	cd $(VENV)/link && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../mypy \
		-m pullback -m pullback.cli $(foreach folder,$(LIBRARY),-p pullback.$(folder))

format: $(VENV)/test.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test.done
	$(BENCH) --benchmark-json=results/bench.json

bench-quick: $(VENV)/test.done
	PULLBACK_BENCH=quick $(BENCH)

clean:
	rm -rf $(VENV) build *.egg-info results

$(VENV)/python.done:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/demo.done: $(VENV)/python.done pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/test.done: $(VENV)/python.done pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	touch $@
