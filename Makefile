# `make check` is what CI runs before the tests.
.PHONY: check format test

check:
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format:
	ruff format .
	ruff check --fix .

test:
	pytest
