# Two commands do everything: `make run` serves the backend, `make test` runs the suite.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format bench soak e2e cluster-test package lock audit sbom wheels clean

VENV := .venv
BIN := $(VENV)/bin
PORT ?= 9090
LABEL_STUDIO_VERSION := 1.23.2
# Label Studio pins its own dependencies, so it never shares a virtual environment with the backend.
LABEL_STUDIO_VENV := .label-studio/venv
# So does the S3 server of the tests: its botocore is another one than that of the backend's client.
S3_VENV := .venv-moto
S3_SERVER_VERSION := 5.2.5
CLUSTER_EXTRAS := many-machines,ray
# The first interpreter that is new enough and can make virtual environments (Debian splits ensurepip off).
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.10,\
	$(shell $(p) -c '$(USABLE)' >/dev/null 2>&1 && echo $(p))))
# PyPI's Linux wheels of torch bring gigabytes of CUDA; without an NVIDIA card the CPU build is fetched first.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# glibc otherwise keeps a pool of freed memory for every thread of a job or a test; the server has one heap for all.
export MALLOC_ARENA_MAX ?= 2
# Tests run beside each other, file by file: a process for each core, of one thread and up to 3 GB with its Label Studio.
TESTS_AT_ONCE ?= auto
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(TESTS_AT_ONCE) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PACKAGE := --editable .
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# $(call add,EXTRAS): tools beside the backend, never at the price of another version of what `make run` serves with.
define add
@$(BIN)/python .ci/runtime_versions.py >$(VENV)/runtime.txt
@$(PIP) install --constraint $(VENV)/runtime.txt --editable '.[$(1)]'
@$(BIN)/python .ci/runtime_versions.py | diff $(VENV)/runtime.txt - \
  || { echo 'These packages of the backend were changed by its tools; see the lines above.'; exit 1; }
endef

help:
	@echo 'make run     install and serve on port $(PORT)'
	@echo 'make test    run the whole suite (with ADCLICK_E2E=1 also the end-to-end tests)'
	@echo 'make check   ruff, mypy, and the floor plan: imports only run down'
	@echo 'make format  let ruff rewrite the code'
	@echo 'make bench   latency, memory and growth figures'
	@echo 'make soak    a bad day of 30 minutes: kills, a full disk, hosts that never answer; MINUTES=3 is a short one'
	@echo 'make e2e     click a defect in a real Label Studio in a real Chromium'
	@echo 'make cluster-test  several backends over PostgreSQL, an S3 server, nginx and Ray, all on this machine'
	@echo 'make package build the distributions, and try them where nothing else is'
	@echo 'make lock    pin what the image installs, with hashes, in the versions that are installed here'
	@echo 'make audit   look for known vulnerabilities in what is locked'
	@echo 'make sbom    write what the image consists of into dist (CycloneDX)'
	@echo 'make wheels  collect in dist/wheels what a machine without internet needs'

run: $(VENV)/.installed
	@$(BIN)/adclick serve --port $(PORT)

test: $(VENV)/.installed-dev $(if $(ADCLICK_E2E),$(LABEL_STUDIO_VENV)/.installed)
	@$(PYTEST) -m 'not cluster$(if $(ADCLICK_E2E),, and not e2e)'

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

format: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m adclick_backend.latency.bench

soak: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) --out $(or $(OUT),data/soak/$$(date +%F-%H%M%S))

e2e: $(VENV)/.installed-dev $(LABEL_STUDIO_VENV)/.installed
	@$(PYTEST) -m e2e

# PostgreSQL and nginx are the distribution's: apt-get install postgresql nginx-light.
cluster-test: $(VENV)/.installed-dev $(S3_VENV)/.installed
	$(call add,$(CLUSTER_EXTRAS))
	@$(PYTEST) -m cluster

package: $(VENV)/.installed-dev
	@.ci/package

# For the image's Python 3.12 on Linux, in the versions that the suite was run with. PyPI is asked first, so that nothing
# but the CPU build of torch comes from the other index.
LOCK = $(BIN)/uv pip compile setup.cfg --quiet --upgrade --generate-hashes --no-annotate --custom-compile-command 'make lock' \
	--python-version 3.12 --python-platform linux --constraint $(VENV)/tested.txt
CPU_BUILD = --index https://pypi.org/simple --default-index $(TORCH_INDEX) --index-strategy unsafe-best-match

lock: $(VENV)/.installed-dev
	@$(BIN)/python .ci/runtime_versions.py | sed 's/+.*//' >$(VENV)/tested.txt
	@$(LOCK) --output-file locks/cpu.txt $(CPU_BUILD)
	@$(LOCK) --output-file locks/language.txt $(CPU_BUILD) --extra language
	@$(LOCK) --output-file locks/cuda.txt
	@$(subst setup.cfg,adclick_runtime/pyproject.toml,$(LOCK)) --output-file locks/runtime.txt

audit: $(VENV)/.installed-dev
	@$(BIN)/python .ci/audit.py

sbom: $(VENV)/.installed-dev
	@mkdir -p dist
	@$(BIN)/python .ci/sbom.py dist/adclick-backend.cdx.json

# Whatever Python runs here; for another machine with MACHINE=aarch64. This pip knows no order of manylinux versions.
LOCKED ?= locks/cpu.txt
WHEELS ?= dist/wheels
MACHINE ?= $(shell uname -m)
wheels: $(VENV)/.installed-dev
	@mkdir -p $(WHEELS)
	@$(PIP) download --require-hashes --no-deps --dest $(WHEELS) --requirement $(LOCKED) --find-links $(TORCH_INDEX)/torch/ \
	  --only-binary :all: --python-version 3.12 $(foreach v,_2_28 _2_27 _2_24 _2_17 2014,--platform manylinux$(v)_$(MACHINE))
	@rm -rf build
	@$(PIP) wheel --no-deps --wheel-dir $(WHEELS) .
	@rm -rf build
	@cp $(LOCKED) $(WHEELS)/lock.txt

clean:
	rm -rf $(VENV) $(LABEL_STUDIO_VENV) $(S3_VENV) build dist *.egg-info

$(VENV)/.created:
	$(if $(PYTHON),,$(error No Python 3.10 to 3.13 with the venv module was found. Install one (on Debian: \
	apt-get install python3-venv) or name it: make run PYTHON=/path/to/python3))
	@echo 'Making $(VENV) with $(PYTHON) ...'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created setup.cfg pyproject.toml
	@echo 'Installing the backend into $(VENV) ...'
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
	  torch=$$(sed -n 's/^[[:space:]]*\(torch[<>=].*\)/\1/p' setup.cfg); \
	  $(PIP) install --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) "$$torch" 2>/dev/null \
	  || echo 'The CPU build of torch cannot be reached; taking the one that pip finds.'; fi
	@$(PIP) install $(PACKAGE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo 'Installing the development tools ...'
	@# Oracles, of the metrics and of the brush encoding: the run-length codec that Label Studio itself uses. The first
	@# asks for opencv-python, which would overwrite the headless wheel's cv2, the second for an older OpenCV and numpy.
	@# What the tests call of them needs numpy, scipy and pillow only.
	@$(PIP) install --no-deps ADEval==1.1.0 label-studio-sdk==2.1.2
	$(call add,dev)
	@touch $@

$(S3_VENV)/.installed:
	@echo 'Installing the S3 server of the tests ...'
	@$(PYTHON) -m venv $(S3_VENV)
	@$(S3_VENV)/bin/python -m pip --disable-pip-version-check --quiet install 'moto[server]==$(S3_SERVER_VERSION)'
	@touch $@

$(LABEL_STUDIO_VENV)/.installed: | $(VENV)/.installed-dev
	@echo 'Installing Label Studio $(LABEL_STUDIO_VERSION) and what drives its browser (a minute, 1 GB) ...'
	@$(PYTHON) -m venv $(LABEL_STUDIO_VENV)
	@$(LABEL_STUDIO_VENV)/bin/python -m pip --disable-pip-version-check --quiet install \
	  label-studio==$(LABEL_STUDIO_VERSION)
	$(call add,e2e)
	@touch $@
