# `make` runs everything that CI runs.
.PHONY: all test quick lint types
all: lint types test

test:
	pytest

# Shows which tests without the mark `slow` deserve it.
quick:
	pytest -m 'not slow' --durations=0 --durations-min=2

lint:
	ruff check .
	ruff format --check .

types:
	mypy
