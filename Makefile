# Thin on purpose: each target is a line or two. `make demo` and `make test` set up everything they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo serve test check fuzz valgrind bench format lock clean prompts

demo: $(VENV)/ready  ## real calls through the switch on this machine, and what happened in them
	$(BIN)/python -m demo

serve: $(VENV)/ready  ## the switch with softswitch.toml, or the defaults
	$(BIN)/softswitch serve

test: $(VENV)/ready  ## every test
	$(BIN)/python -m pytest tests --cov --cov-report=term:skip-covered $(PYTEST_ARGS)
	$(BIN)/python scripts/check_coverage.py softswitch/sip softswitch/sdp softswitch/call softswitch/routing

check: $(VENV)/ready  ## format, lint, types, C warnings, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -fsyntax-only $$($(BIN)/python3-config --includes 2>/dev/null || $(BIN)/python -c "import sysconfig; print('-I' + sysconfig.get_path('include'))") media/native/*.c softswitch/sip/native/*.c
	! command -v clang >/dev/null || clang -target bpf -mcpu=v3 -O2 -Wall -Wextra -Werror -I/usr/include/$$($(CC) -dumpmachine) -fsyntax-only media/native/bpf/*.c
	$(BIN)/python -m pytest -q tests/test_architecture.py

fuzz: $(VENV)/ready  ## coverage-guided fuzzing of the parsers, the SIP core and (with clang) plain messages and the packet path, FUZZ_SECONDS for each
	$(BIN)/pip install -q --disable-pip-version-check atheris==3.0.0
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)
	$(BIN)/python -m tests.sip.native.fuzz $(FUZZ_SECONDS)
	$(BIN)/python -m tests.media.native.fuzz $(FUZZ_SECONDS)

valgrind: $(VENV)/ready  ## the C tests of the media core under valgrind: reads of what was never written, leaks
	$(BIN)/python -m tests.media.native.valgrind

bench: $(VENV)/ready  ## figures against peers measured in the same run
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-bench.lock
	$(BIN)/python -m tests.bench

format: $(VENV)/ready
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

prompts: $(VENV)/ready  ## make the built-in prompts again
	$(BIN)/python scripts/make_prompts.py

lock: $(VENV)/ready  ## pin what pyproject.toml asks for
	scripts/lock

$(VENV)/ready: pyproject.toml setup.py requirements.lock $(wildcard media/native/*.[ch] softswitch/sip/native/*.[ch])
	scripts/setup $(PYTHON)
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info media/*.so
