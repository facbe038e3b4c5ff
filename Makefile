# Thin names over plain commands; README shows the commands themselves.
PYTHON ?= python3
BIN := .venv/bin
# The list for people; requirements.lock is the same with every version fixed, as CI installs it.
REQUIREMENTS ?= requirements.txt
# pip's advice on itself is no concern of who runs the course; its errors still show.
PIP := pip --disable-pip-version-check install --quiet --quiet

# One sentence, before pip searches for a TensorFlow that does not exist.
define SUPPORTED
import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else "Python %d.%d does not work: TensorFlow needs 3.10 to 3.13. Name one that you have, such as: make run PYTHON=python3.12" % v)
endef
# Says when .venv has to be made anew: its Python does not start, or PYTHON names another release.
define ANOTHER_PYTHON
$(BIN)/python -c "" 2>/dev/null && { test "$(origin PYTHON)" = file || test "`$(PYTHON) -c 'import sys; print(sys.version_info[:2])'`" = "`$(BIN)/python -c 'import sys; print(sys.version_info[:2])'`"; } || echo another-python
endef
# Colab's Python, or the nearest: pyenv's own names for those that are not active do not start.
COLAB_PYTHON = $(shell for python in python3.13 $(HOME)/.pyenv/versions/3.13.*/bin/python3 \
	python3.12 $(HOME)/.pyenv/versions/3.12.*/bin/python3; do $$python -c "" 2>/dev/null && echo $$python && break; done)

.PHONY: run solutions test test-solutions test-colab lab train bench lint colab site site-test student another-python

# All chapters, or some by their numbers: make run ONLY=06, make run ONLY="06 07"
run: .venv/ready
	COURSE_MODE=standard $(BIN)/python -m tools.execute $(ONLY)

solutions: .venv/ready
	COURSE_MODE=standard $(BIN)/python -m tools.execute notebooks/solutions/*.ipynb

# As many processes as cores: with one thread each they do not wait for one another.
test test-solutions: export TF_NUM_INTRAOP_THREADS = 1
test test-solutions: export TF_NUM_INTEROP_THREADS = 1
test test-solutions: export OMP_NUM_THREADS = 1

test: lint
	COURSE_MODE=quick $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --nbval-lax --nbval-current-env -p tests.rerun notebooks tests --ignore=notebooks/solutions

# The solutions, and whether all records of data/ still are what the notebooks ask for.
test-solutions: .venv/ready
	COURSE_MODE=quick $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --nbval-lax --nbval-current-env notebooks/solutions
	$(BIN)/python -m tests.recipes

# Colab's versions, each chapter alone, in quick mode, and all records under Colab's Keras; see tools/alone.py.
# ALONE=--offline leaves out the second run of each chapter, on MNIST.
test-colab: .venv-colab/ready
	.venv-colab/bin/python -m tools.alone $(ALONE) $(ONLY)
	.venv-colab/bin/python -m tests.recipes

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

train: .venv/ready
	COURSE_MODE=retrain $(BIN)/python -m tools.execute --in-place
	$(BIN)/python -m tools.explorers
	$(BIN)/python -m tools.readme
	$(BIN)/python -m tools.gallery

bench: .venv/ready
	$(BIN)/python -m tools.bench

site: .venv/ready
	$(BIN)/$(PIP) "myst-nb>=1.3,<2" "sphinx-book-theme>=1.1,<2" sphinx-mathjax-offline
	$(BIN)/python -m tools.site

# The site, and JupyterLab with a slider, in Chromium.
site-test: site
	$(BIN)/$(PIP) playwright
	command -v chromium google-chrome >/dev/null || $(BIN)/playwright install --with-deps chromium
	$(BIN)/python -m pytest -m browser tests

# Without REPO, the address is that of git's remote `origin`.
colab: .venv/ready
	$(BIN)/python -m tools.colab "$(REPO)" $(REF)

# A zip of the course without solutions, and with a cell to fill for each exercise.
student: .venv/ready
	$(BIN)/python -m tools.student

# On a machine with an NVIDIA GPU, the same TensorFlow with the CUDA libraries it needs.
.venv/ready: $(REQUIREMENTS) pyproject.toml $(shell $(ANOTHER_PYTHON))
	@$(PYTHON) -c '$(SUPPORTED)'
	@echo "Setting up .venv: TensorFlow and the other packages take some minutes to download and install."
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/$(PIP) --requirement $(REQUIREMENTS) $(if $(shell command -v nvidia-smi),"tensorflow[and-cuda]")
	$(BIN)/$(PIP) --no-deps --editable .
	touch $@

.venv-colab/ready: tools/colab-constraints.txt
	$(if $(COLAB_PYTHON),,$(error test-colab needs Python 3.13 or 3.12, and neither starts here))
	rm -rf .venv-colab
	$(COLAB_PYTHON) -m venv .venv-colab
	.venv-colab/bin/$(PIP) --requirement tools/colab-constraints.txt
	touch $@
