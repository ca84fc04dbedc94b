# make serve   sets up a virtual environment, installs, serves my_model     (make serve ARGS="--listen-port 5055")
# make test    sets up, then lint, format, types and every test             (make test ARGS="-k survey")
# make lint    the first half of it; make tests    the second
# make quick   the tests that last took 0.1 s or less each; the first time all that are not slow
# make docs    builds the documentation site: site/index.html
# make coverage      what the tests of the model's process and its executor run of them, in all processes
# make pythons       tests under every supported Python that is there, and says which are not
# make constraints   writes constraints.txt anew: the versions that serve, test, .ci/run and the Dockerfile install
# make newest        make test with the newest versions that the ranges allow, in an environment of its own
# make lowest        make tests with the lowest ones

PYTHON ?= python3
VENV ?= .venv
# Test processes: the tests mostly wait for the processes that they start.
JOBS ?= 4
# All but the longest; `make test MARKS=` runs those, too (some minutes more).
MARKS ?= not thorough
BIN = $(VENV)/bin
SERVED = $(VENV)/.installed-serve
TESTED = $(VENV)/.installed-test
DOCUMENTED = $(VENV)/.installed-docs
SOURCES = setup.cfg pyproject.toml constraints.txt my_model/setup.cfg modelport_ray/pyproject.toml
# The versions that everything here was tested with; CONSTRAINTS= takes the newest that the ranges allow.
CONSTRAINTS ?= constraints.txt
PIP = $(BIN)/pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
# Where it is set, each of the many processes that the tests start would compile all of modelport.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: serve test lint tests quick coverage pythons docs bench constraints newest lowest clean
.NOTPARALLEL:

serve: $(SERVED)
	exec $(BIN)/modelport serve my_model $(ARGS)

test: lint tests

lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy modelport my_model modelport_ray tests

tests: $(TESTED)
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "$(MARKS)" $(if $(MARKS),,--hypothesis-profile drawn) $(ARGS)

quick: $(TESTED)
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m "not slow and not thorough" --quick $(ARGS)

# Material announces its own end on the terminal, in each build.
coverage: export PYTHONPATH = $(CURDIR)/tools
coverage: $(TESTED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n $(JOBS) --dist loadfile -m "$(MARKS)" \
	    tests/child tests/contract tests/executors tests/batches tests/streams tests/faults tests/test_catalogue.py $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

pythons: $(TESTED)
	$(BIN)/python tools/pythons.py

docs: $(DOCUMENTED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html; its search needs a server: python -m http.server --directory site"

bench: $(TESTED)
	$(BIN)/python benchmarks/load.py $(ARGS)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "modelport needs Python 3.11 or later; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(SERVED): $(BIN)/python $(SOURCES)
	$(PIP) --editable '.[buckets]' --editable my_model
	touch $@

$(TESTED): $(BIN)/python $(SOURCES)
	$(PIP) --editable '.[test]' --editable my_model --editable modelport_ray \
	    --editable examples/demo_app
	touch $@ $(SERVED) $(DOCUMENTED)

$(DOCUMENTED): $(BIN)/python $(SOURCES)
	$(PIP) --editable '.[docs]'
	touch $@

constraints: $(BIN)/python
	$(BIN)/pip install --quiet 'pip-tools>=7,<8'
	$(BIN)/pip-compile --quiet --upgrade --all-extras --strip-extras --allow-unsafe --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file constraints.txt \
	    setup.cfg my_model/setup.cfg modelport_ray/pyproject.toml
	sed --in-place --expression '/^#/d' --expression '/^modelport/d' --expression '/^my.model/d' constraints.txt

newest:
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=

lowest:
	$(PYTHON) tools/lowest.py > .venv-lowest.txt
	$(MAKE) tests VENV=.venv-lowest CONSTRAINTS=.venv-lowest.txt

clean:
	rm -rf $(VENV) .venv-newest .venv-lowest* build dist site *.egg-info
