# One command each, on a fresh machine with Python >= 3.11, pip and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
STAMP := $(VENV)/.installed

# DATA: a folder with the walking clip of DeepMimic (else a generated walk); SEED; characters one
# after the other, each until it follows 95 % of 256 random starts for 10 s, or MINUTES are over.
DATA ?=
SEED ?= 0
MINUTES ?= 28
MINUTES_OTHERS ?= 14
CHARACTERS ?= human dinosaur mouse
WALKS := runs/retarget-demo-$(SEED)

.PHONY: demo retarget-demo test test-fast lint format bench record tables notebooks docs clean

demo: $(STAMP)
	$(RUN) jaxrl_rewards.cli reproduce gui_g2 --seeds 4 --out runs/demo
	$(RUN) jaxrl_rewards.cli evaluate gui --out runs/demo/pointing

retarget-demo: $(STAMP)
	@set -e; for character in $(CHARACTERS); do \
	  minutes=$(MINUTES_OTHERS); [ $$character = human ] && minutes=$(MINUTES); \
	  $(RUN) jaxrl_rewards.cli train retarget --env.character $$character \
	    $(if $(DATA),--env.data $(DATA)) --seed $(SEED) --stop-at-followed 0.95 \
	    --time-limit-minutes $$minutes --resume --out $(WALKS)/$$character; \
	done
	$(RUN) benchmarks.learning.retarget $(addprefix $(WALKS)/,$(CHARACTERS)) --out $(WALKS)/retarget-3d.json

test: $(STAMP)
	$(RUN) pytest -n 2 --dist loadfile

test-fast: $(STAMP)
	$(RUN) pytest -n 2 --dist loadfile -m "not slow"

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: $(STAMP)
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: $(STAMP)
	$(RUN) jaxrl_rewards.cli bench

record: $(STAMP)
	$(RUN) benchmarks.record

tables: $(STAMP)
	$(RUN) benchmarks.tables
	$(RUN) benchmarks.shipped

notebooks: $(STAMP)
	$(RUN) benchmarks.notebooks

# The site, into build/docs; reading it needs no network (search needs python -m http.server).
docs: $(STAMP)
	$(RUN) pip install --quiet -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --quiet --strict -f docs/mkdocs.yml

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --upgrade pip
	$(RUN) pip install --quiet -c constraints.txt -e ".[physics,log,gui,parity,test,dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) runs dist .pytest_cache .ruff_cache .hypothesis
