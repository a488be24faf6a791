# The two commands of the README, and the rest. PYTHON is the interpreter that .venv is made with.
SHELL := /bin/bash
PYTHON ?= python3
# On a busy machine, OpenMP's threads otherwise spend their time spinning.
export OMP_WAIT_POLICY ?= PASSIVE

# The built messages come from install/, everything else from .venv.
run = source install/setup.bash && .venv/bin/python

.PHONY: demo test check setup clean

demo: setup
	$(run) scripts/demo.py

test: setup
	$(run) -m pytest

check: setup
	$(run) -m ruff check .
	$(run) -m ruff format --check .
	$(run) -m mypy

setup:
	@$(PYTHON) scripts/setup_environment.py

clean:
	rm -rf build install log demo *.egg-info
