# `make` runs everything that CI runs.
.PHONY: all test lint types
all: lint types test

test:
	pytest

lint:
	ruff check .
	ruff format --check .

types:
	mypy
