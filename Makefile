# Four words are enough: bootstrap, test, book, clean. And `make epub`, for those who read elsewhere.
SHELL := /bin/bash
PYTHON := .venv/bin/python

.PHONY: bootstrap setup setup-tests test book epub clean

bootstrap: setup
	$(PYTHON) -m mere_helpers run

# Host packages, the user's range of ids, .venv, the path to the store. Does nothing when nothing is missing.
setup:
	@bash mere_helpers/host/setup.sh

# The same, and what only the tests need.
setup-tests:
	@bash mere_helpers/host/setup.sh tests

test: setup-tests
	$(PYTHON) -m pytest

book: setup
	.venv/bin/jupyter-book build . -n -W --keep-going

# The same chapters as one file, _build/epub/mere-linux-from-source.epub.
epub: setup
	.venv/bin/jupyter-book build . -n -W --keep-going --builder custom --custom-builder epub

# What the checkout holds. The store is cleaned by `python -m mere_helpers clean`.
clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -not -path './.venv/*' -prune -exec rm -rf {} +
