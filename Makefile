# Thin names over plain commands; README shows the commands themselves.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run solutions test lab train bench lint colab site

run: .venv/ready
	COURSE_MODE=standard $(BIN)/python -m tools.execute

solutions: .venv/ready
	COURSE_MODE=standard $(BIN)/python -m tools.execute notebooks/solutions/*.ipynb

test: lint
	COURSE_MODE=quick $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --nbval-lax --nbval-current-env

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

train: .venv/ready
	COURSE_MODE=retrain $(BIN)/python -m tools.execute --in-place
	$(BIN)/python -m tools.readme
	$(BIN)/python -m tools.gallery

bench: .venv/ready
	$(BIN)/python -m tools.bench

site: .venv/ready
	$(BIN)/pip install --quiet "myst-nb>=1.3,<2" "sphinx-book-theme>=1.1,<2" sphinx-mathjax-offline
	$(BIN)/python -m tools.site

colab: .venv/ready
	$(BIN)/python -m tools.colab $(REPO) $(REF)

# On a machine with an NVIDIA GPU, the same TensorFlow with the CUDA libraries it needs.
.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt $(if $(shell command -v nvidia-smi),"tensorflow[and-cuda]")
	touch $@
