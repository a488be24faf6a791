# The commands of the README, and the rest. PYTHON is the interpreter that .venv is made with.
SHELL := /bin/bash
PYTHON ?= python3
# On a busy machine, OpenMP's threads otherwise spend their time spinning.
export OMP_WAIT_POLICY ?= PASSIVE

# The built messages come from install/, everything else from .venv.
run = source install/setup.bash && .venv/bin/python
workers = -n logical --dist worksteal
test test-fast: export OMP_NUM_THREADS ?= 1

.PHONY: demo console test test-fast docs check setup clean

demo: setup
	$(run) scripts/demo.py

# A simulated camera, the perception node and the page; it prints the page's address.
console: setup
	$(run) scripts/console.py

# Everything: a worker for each core, whose models compute in one thread each.
test: setup
	$(run) -m pytest $(workers) --durations 10

# For while you work: no ROS processes, nothing that takes more than a few seconds.
test-fast: setup
	$(run) -m pytest $(workers) -m "not slow and not ros"

# The pages with the API from docstrings, into build/docs.
docs: setup
	$(run) -m mkdocs build --quiet --strict

check: setup
	$(run) -m ruff check .
	$(run) -m ruff format --check .
	$(run) -m mypy
	$(run) -m mkdocs build --quiet --strict

setup:
	@$(PYTHON) scripts/setup_environment.py

clean:
	rm -rf build install log demo *.egg-info
