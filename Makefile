# Two commands are enough: `make book` and `make test`. Both make the environment first and reuse it afterwards.
# On a fresh machine they need python3 (3.11 to 3.13) and make.

PYTHON ?= python3
PORT ?= 8000
NOTEBOOKS ?=
BIN := .venv/bin
JOBS ?= 2

# One thread per process: two processes with two threads each are many times slower than two with one.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 M2M_THREADS=1 \
	TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 M2M_SCALE=cpu
BOOK_SOURCES := _config.yml _toc.yml tools/book_extension.py tools/reference_extension.py tools/code_links.py tools/book_map.py \
	$(shell find book -type f -not -path '*/.*') $(shell find src/lib/m2m -name '*.py') \
	$(shell find assignments -name master.ipynb -o -name judge.py)

.PHONY: help env book serve test test-library test-notebooks test-pages test-colab refresh repository bench first-figure clean
.NOTPARALLEL:  # the parts of the tests would take each other's cores

help:
	@echo "make book         build the book; _build/html/index.html is its first page"
	@echo "make serve        show the built book on http://localhost:$(PORT)"
	@echo "make test         unit tests, every notebook executed, the pages in a real browser"
	@echo "make test-colab   every notebook on exactly Colab's versions (needs Python 3.13 and 8 GB of disk)"
	@echo "make refresh      execute the notebooks and store normalised outputs (NOTEBOOKS=\"a.ipynb b.ipynb\" for some)"
	@echo "make repository   NAME=owner/name [VERSION=0.2.0]: write the book's GitHub repository into every place that needs it"
	@echo "make bench        speed against other libraries; writes the page book/speed.md"
	@echo "make first-figure how long a reader in Colab waits for each chapter's first figure (needs what test-colab needs)"

env: .venv/stamp

# The stamp is younger than what it was made from, or the installation runs again (and keeps what fits).
.venv/stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d. Another one: make PYTHON=python3.12 ..." % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing requirements.txt into .venv: about 4 GB, some minutes the first time."
	@$(BIN)/python -m pip install --quiet -r requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

book: _build/html/stamp
	@echo "The book is built. Open _build/html/index.html, or run: make serve"

# Notebooks are not executed here: the pages show the outputs stored in them. Pages of removed chapters go.
_build/html/stamp: .venv/stamp $(BOOK_SOURCES)
	@rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W --keep-going --quiet
	$(BIN)/python -m m2m.assignments build --students --out _build/html/_static/assignments
	@test -s _build/html/index.html && test -s _build/html/book/intro.html || { echo "The build left no HTML."; exit 1; }
	@touch $@

serve: book
	@echo "http://localhost:$(PORT)   (Ctrl-C ends it)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

# Stops at the first part that fails. The last lines are pytest's own.
test: test-library test-notebooks test-pages

test-library: env
	$(ONE_THREAD) $(BIN)/python -m pytest tests --ignore=tests/book -n $(JOBS)

# Every cell of every notebook is executed; the output of those marked NBVAL_CHECK_OUTPUT is compared with the stored one.
test-notebooks: env
	$(ONE_THREAD) $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=1200 -n $(JOBS) --dist loadscope book

test-pages: book
	$(ONE_THREAD) $(BIN)/python -m pytest tests/book -n $(JOBS) -rs

test-colab: env
	$(ONE_THREAD) $(BIN)/python tools/colab.py

refresh: env
	$(ONE_THREAD) $(BIN)/python tools/refresh.py $(NOTEBOOKS)

repository: env
	$(BIN)/python tools/repository.py $(NAME) $(if $(VERSION),--version $(VERSION))

bench: env
	$(ONE_THREAD) $(BIN)/python -m bench
	$(BIN)/python tools/speed.py

first-figure: env
	$(ONE_THREAD) $(BIN)/python tools/first_figure.py $(NOTEBOOKS)
	$(BIN)/python tools/speed.py

clean:
	rm -rf _build
