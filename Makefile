# cusemodem: from a clean clone on Debian, each of these does its own set-up.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PYTHON = $(VENV)/bin/python
BENCH :=

.PHONY: help demo test bench lint venv kernels clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

venv: $(VENV)/.installed  ## the Python environment, with everything that development needs

$(VENV)/.installed: pyproject.toml .ci/venv
	@.ci/packages build
	@.ci/venv $(VENV)

# A no-op after the first time: compiled kernels stay in the cache until their source changes.
kernels: venv  ## compile the signal processing kernels
	@$(VENV)/bin/cusemodem compile

demo: venv  ## two modems fax a document to each other, and the pages come out in demo-output/
	@.ci/packages demo
	@$(MAKE) --no-print-directory kernels
	@$(PYTHON) -m tests.system.demo

test: venv  ## all tests, with real peers: Asterisk, HylaFAX, efax, spandsp, a kernel with CUSE
	@.ci/packages test
	@$(MAKE) --no-print-directory kernels
	@$(PYTHON) -m pytest $(PYTEST_ARGS)

bench: venv  ## figures of ours beside the originals', in the same run: all in short, or BENCH=dsp, that one whole
	@.ci/packages bench
	@$(MAKE) --no-print-directory kernels
	@$(PYTHON) -m bench $(if $(BENCH),$(BENCH),--quick) $(BENCH_ARGS)

lint: venv  ## style, types and shell scripts
	@.ci/packages lint
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	shellcheck .ci/packages .ci/run .ci/venv tests/bed/asterisk-bed tests/bed/guest-packages tests/bed/namespace-run tests/bed/reachable-run tests/bed/real-time tests/bed/uml-run

clean:  ## remove what the other targets made, downloads included
	rm -rf $(VENV) .cache build dist demo-output ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
