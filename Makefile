# `make help` lists the targets. PYTHON picks the interpreter that .venv is made with.
PYTHON ?= python3
CORES ?= all

VENV := .venv
BIN := $(VENV)/bin
# A stamp named by what was installed: another requirement or another layout installs again.
stamp = $(VENV)/.$(1)-$(shell cat $(2) pyproject.toml | cksum | cut -d' ' -f1)
MAIN := $(call stamp,cpu,envs/cpu.txt)
DEV := $(call stamp,dev,envs/cpu.txt envs/slurm.txt envs/dev.txt)
VBENCH := .venv-vbench/.installed
LAB := $(call stamp,lab,envs/cpu.txt envs/lab.txt)

.PHONY: help setup table5 report vbench-env test regress lint lab schemas
.DELETE_ON_ERROR:

help:
	@echo "make setup     install everything into .venv (once)"
	@echo "make table5    reproduce Table 5 at mini scale: results/mini/tables/table5.md"
	@echo "make report    build the site of results/published: site/index.html"
	@echo "make vbench-env install VBench into an environment of its own, .venv-vbench"
	@echo "make test      run the tests"
	@echo "make regress   reproduce Table 5 and hold it against the published numbers"
	@echo "make lint      check style: ruff, snakefmt, snakemake --lint"
	@echo "make lab       open the notebooks in JupyterLab"
	@echo "make schemas   write config/schemas/ again after a change of repro/config or sources.py"

setup: $(MAIN)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	       "name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(MAIN): | $(BIN)/python
	$(BIN)/python envs/install.py -r envs/cpu.txt
	$(BIN)/python envs/install.py --no-deps -e .
	touch $@

$(DEV): | $(MAIN)
	$(BIN)/python envs/install.py -r envs/dev.txt
	touch $@

$(LAB): | $(MAIN)
	$(BIN)/python envs/install.py -r envs/lab.txt
	touch $@

table5: $(MAIN)
	$(BIN)/snakemake --cores $(CORES) table5

report: $(MAIN)
	$(BIN)/python -m repro report --out site

vbench-env: $(VBENCH)

$(VBENCH): envs/vbench/requirements.txt | $(MAIN)
	$(BIN)/snakemake --cores 1 $@

test: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist worksteal

regress: $(MAIN)
	$(BIN)/snakemake --cores $(CORES) regress
	$(BIN)/python -m repro regress

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

lab: $(LAB)
	# A click on notebooks/*.py opens a notebook.
	$(BIN)/jupytext-config --settings-file $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json set-default-viewer python
	$(BIN)/jupyter lab notebooks

schemas: $(MAIN)
	$(BIN)/python -c "from repro import config as c, files, sources as s; \
	  [files.write_text(c.CONFIG_DIR / 'schemas' / f'{m.__name__.lower()}.schema.json', c.json_schema(m)) \
	   for m in (c.Profile, c.Run, c.Student, s.WeightSource, s.TableNeed)]"
