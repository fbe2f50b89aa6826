# Everything happens inside .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Everything is pinned with hashes; kalamos itself is installed last, by what is there.
UV     := $(BIN)/uv pip install --quiet --python $(BIN)/python
HASHED := $(UV) --require-hashes --requirement
KALAMOS := $(UV) --no-deps --no-build-isolation --editable .
# Tests wait for servers, browsers and clusters as much as they compute: two processes more than processors.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
# All sets have the same versions: those of constraints.txt.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make constraints"

# Where the real datasets lie; tests that need them skip with a reason where they are absent.
KALAMOS_DATA ?= $(abspath $(firstword $(wildcard data ../shared/data)))
export KALAMOS_DATA

.PHONY: demo test lint docs fuzz hands ink forms puzzles alphabets sheets bench limits bench-training results zoo teaching fonts notebook samples web constraints clean

demo: $(VENV)/.reading  ## install the reading half, read the sample images
	$(BIN)/kalamos predict samples || test $$? -eq 1  # one sample is blank on purpose

test: $(VENV)/.everything  ## install everything, run all tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

lint: $(VENV)/.everything  ## format, lint, types, layers, import circles, dead code; container, workflows
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/hadolint Dockerfile
	$(BIN)/zizmor --offline --quiet .github/workflows

docs: $(VENV)/.everything  ## the documentation site in build/site: strict, with all links followed
	$(BIN)/python docs/site/build.py

# FUZZ="--seed 7 --only images --minutes 1", or any other options of `python -m fuzz`.
fuzz: $(VENV)/.everything  ## hostile files, models and requests: minutes; what is found lies in build/fuzz
	$(BIN)/python -m fuzz $(FUZZ)

ink: $(VENV)/.everything  ## real images, frames and paddings: the table, and what was misread in build/ink
	$(BIN)/python benchmarks/ink.py --write --sheets

hands: $(VENV)/.everything  ## how real people's hands are read, and what is withheld; what was misread in build/hands
	$(BIN)/python benchmarks/hands.py --write --sheets

alphabets: $(VENV)/.everything  ## own alphabets from few samples or none: the table and the plot
	$(BIN)/python benchmarks/alphabets.py --write

puzzles: $(VENV)/.everything  ## how photographed puzzles are read: the table, and what was misread in build/puzzles
	$(BIN)/python benchmarks/puzzles.py --write --sheets

forms: $(VENV)/.everything  ## how drawn forms and pages are read: the table, and what was misread in build/forms-read
	$(BIN)/python benchmarks/forms.py --write --sheets

sheets: $(VENV)/.everything  ## how drawn and real sheets of boxes are cut: the table, and what was cut in build/sheets
	$(BIN)/python benchmarks/sheets.py --write

bench: $(VENV)/.everything  ## measure speed and memory, write the tables
	$(BIN)/python benchmarks/bench.py --write

limits: $(VENV)/.everything  ## what is done at the limits and beyond, with memory and time: SECURITY.md
	$(BIN)/python benchmarks/limits.py --write

bench-training: $(VENV)/.everything  ## training beside the plain loop, write the table
	$(BIN)/python benchmarks/training.py --to-accuracy --write

results: $(VENV)/.everything  ## train the recipes that are not trained yet, measure, write docs/results.md
	$(BIN)/python benchmarks/results.py

zoo: $(VENV)/.everything  ## train and measure the shipped models, install them with their cards
	$(BIN)/python benchmarks/zoo.py
	$(BIN)/python benchmarks/judged_fonts.py
	$(BIN)/python benchmarks/frontier.py --measure

teaching: $(VENV)/.everything  ## measure teaching on letters held out of training, write docs/teaching.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/teaching.py

fonts: $(VENV)/.everything  ## get and draw the open fonts that recipes/*-fonts.txt list (needs npm)
	$(BIN)/python benchmarks/fetch_fonts.py build/fonts
	$(BIN)/python benchmarks/fetch_fonts.py build/arabic-fonts --list recipes/arabic-fonts.txt
	$(BIN)/python benchmarks/fetch_fonts.py build/print-fonts --list recipes/print-fonts.txt
	rm -rf build/rendered build/judged
	$(BIN)/kalamos data render build/fonts --alphabet digits --per-glyph 12 --side train \
		--list recipes/handwriting-fonts.txt -o build/rendered/digits
	$(BIN)/kalamos data render build/fonts --alphabet latin-47 --per-glyph 12 --side train \
		--list recipes/handwriting-fonts.txt -o build/rendered/latin-47
	$(BIN)/kalamos data render build/arabic-fonts --alphabet arabic-digits --per-glyph 12 --side train \
		--list recipes/arabic-fonts.txt -o build/rendered/arabic-digits
	$(BIN)/kalamos data render build/arabic-fonts --alphabet arabic-28 --per-glyph 8 --side train \
		--list recipes/arabic-fonts.txt -o build/rendered/arabic-28
	$(BIN)/kalamos data render build/print-fonts --alphabet digits --per-glyph 12 --side train \
		--list recipes/print-fonts.txt -o build/rendered/print-digits
	$(BIN)/python benchmarks/draw_cells.py build/print-fonts recipes/print-fonts.txt build/rendered/cell-digits
	$(BIN)/python benchmarks/draw_boxes.py digits build/rendered/box-digits
	$(BIN)/python benchmarks/draw_boxes.py latin-47 build/rendered/box-latin-47
	$(BIN)/kalamos data render build/print-fonts --alphabet digits --side judge \
		--list recipes/print-fonts.txt -o build/judged/print-digits
	$(BIN)/kalamos data render build/fonts --alphabet digits --side judge \
		--list recipes/handwriting-fonts.txt -o build/judged/digits
	$(BIN)/kalamos data render build/fonts --alphabet latin-47 --side judge \
		--list recipes/handwriting-fonts.txt -o build/judged/latin-47
	$(BIN)/kalamos data render build/arabic-fonts --alphabet arabic-digits --side judge \
		--list recipes/arabic-fonts.txt -o build/judged/arabic-digits

notebook: $(VENV)/.everything  ## run the notebook, keep its outputs
	$(BIN)/python notebooks/run.py

samples: $(VENV)/.everything  ## draw the sample images, the sample form and the README's picture again
	$(BIN)/python samples/make_samples.py
	$(BIN)/python samples/make_form.py
	$(BIN)/python samples/make_pages.py
	$(BIN)/python docs/make_picture.py
	$(BIN)/python docs/make_form_picture.py

web: $(VENV)/.reading  ## build the browser page of the shipped models in build/web (needs npm)
	npm ci --prefix web --ignore-scripts
	npm run --prefix web check
	npm run --prefix web build
	$(BIN)/python web/others.py
	$(BIN)/python web/assemble.py build/web

constraints: $(VENV)/.uv  ## pin the whole tree anew, with hashes
	$(COMPILE) --upgrade --extra dev pyproject.toml --output-file constraints.txt
	$(COMPILE) --upgrade --constraint constraints.txt requirements/build.in --output-file requirements/build.txt
	$(COMPILE) --upgrade --constraint constraints.txt pyproject.toml --output-file requirements/reading.txt
	for extra in api app forms train; do $(COMPILE) --upgrade --constraint constraints.txt --extra $$extra \
		pyproject.toml --output-file requirements/$$extra.txt || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.uv: requirements/build.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	touch $@

# Compiled now, once: where Python may not write bytecode, each start would compile everything again.
$(VENV)/.reading: $(VENV)/.uv pyproject.toml requirements/reading.txt
	$(HASHED) requirements/reading.txt --compile-bytecode
	$(KALAMOS)
	$(BIN)/python -m compileall -q src
	touch $@

$(VENV)/.everything: $(VENV)/.reading constraints.txt
	$(HASHED) constraints.txt
	touch $@
