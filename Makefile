# Two commands for everybody: `make demo` opens the app on what comes with it, `make test` runs all tests. Both set up .venv first.
# While developing: `make quick`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# TORCH=system takes the torch that is installed beside PYTHON (2.11 or newer), as on a cluster with builds of its own
TORCH  ?= pinned
ifeq ($(TORCH),system)
PINS   := $(VENV)/constraints.txt
SITE   := --system-site-packages
else
PINS   := constraints.txt
endif
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test tests test-ray quick check bench example-run clean

demo: $(READY)
	$(BIN)/codeprune-tui demo

# The static checks, which take one core, beside the tests
test: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 check tests

# Four workers also where there are two cores: tests of screens and of processes wait for some of their time
tests: $(READY)
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Installs Ray, and loses workers and a node of a cluster of two nodes on this machine: a minute on an idle one
test-ray: $(READY)
	@$(PIP) install --constraint $(PINS) --editable '.[ray]' || \
	  { echo "The tests of sweeps on Ray did not run: pip could not install Ray, and says above why" >&2; exit 1; }
	$(BIN)/python -m pytest tests/test_ray.py

# Static checks, and the tests that need no torch, start no process and open no screen
quick: check
	$(BIN)/python -m pytest -q --quick

check: $(READY)
	$(BIN)/ruff check core codeprune_tui tests tools benchmarks
	$(BIN)/ruff format --check core codeprune_tui tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

# Some minutes on an idle machine; the table's page is docs/benchmarks.md
bench: $(READY)
	$(BIN)/codeprune-tui bench

# Records checkpoints/bundled/example-run anew, in a few minutes
example-run: $(READY)
	$(BIN)/python tools/record_example_run.py

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
ifeq ($(TORCH),system)
	@# An early build of 2.11 itself ("2.11.0a0+...") is older than 2.11, says pip
	@$(PYTHON) -c 'import re, sys; from importlib.metadata import distributions; \
	  version = next((torch.version for torch in distributions(name="torch")), "none"); \
	  enough = version[0].isdigit() and tuple(map(int, version.split(".")[:2])) >= (2, 11); \
	  sys.exit(None if enough and not re.match(r"2\.11\.0\.?[a-z]", version) else \
	    f"TORCH=system needs torch 2.11 or newer beside {sys.executable}, which has {version};" \
	    " without TORCH=system, make installs one")'
endif
	@echo "1/3 Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(SITE) $(VENV)
ifeq ($(TORCH),system)
	@# Pinned to what is there, or pip would rather install another torch; each torch says itself which setuptools it can do with
	@{ grep -v -e '^torch==' -e '^setuptools==' constraints.txt; \
	   $(PYTHON) -c 'from importlib.metadata import version; print("torch==" + version("torch"))'; } > $(PINS)
	@# An environment does not see another one's packages, and on clusters torch often lies in one
	@$(PYTHON) -c 'from importlib.metadata import distribution; print(distribution("torch").locate_file("").resolve())' \
	  > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/system_torch.pth"
endif
	@echo "2/3 Updating pip in it"
	@$(PIP) install --quiet --upgrade pip==26.3
	@echo "3/3 Installing what the program and its tests stand on, torch among it: some 200 MB for the CPU alone, and gigabytes"
	@echo "    with CUDA 13, which pip chooses on Linux; TORCH=system takes the torch of $(PYTHON) instead. This may take minutes"
	@$(PIP) install --constraint $(PINS) --editable '.[onnx]' --group test --group static
	@touch $(READY)

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
