# Everything a checkout can do. `make help` lists it.

PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes
PYTEST := $(BIN)/python -m pytest
MANAGE := $(BIN)/python manage.py

# What a production machine's environment looks like, for the deployment checks. They
# open no connection, so none of these has to exist.
PRODUCTION = DEBUG=false SITE_URL=https://paper-round.example \
	SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	SUPPRESSION_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	DATABASE_URL=postgres://paper_round@db.example/paper_round \
	REDIS_URL=redis://redis.example/0 \
	MAIL_TRANSPORT=smtp SMTP_URL=smtp://mail.example:587 \
	MAIL_FROM="Paper Round <round@paper-round.example>" \
	POSTAL_ADDRESS="1 Press Lane, Example Town"

.DEFAULT_GOAL := help
.PHONY: help .venv demo test explore check bench chaos lock clean

help: ## say what there is
	@sed -n 's/^\([a-z.]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

.venv: .venv/.dev ## build .venv with what development needs

.venv/bin/python:
	@echo "building .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

.venv/.product: requirements.lock | .venv/bin/python
	@echo "installing requirements.lock into .venv"
	@$(PIP) -r requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.product
	@echo "installing requirements-dev.lock into .venv"
	@$(PIP) -r requirements-dev.lock
	@touch $@

demo: .venv/.product ## papers, an edition, readers, their mails; ONCE=1 does not serve, FROM=PATH reads recorded documents
	@$(MANAGE) demo $(if $(ONCE),--once) $(if $(FROM),--from "$(FROM)")

test: .venv/.dev ## the whole suite on PostgreSQL, then what must hold on both again on SQLite
	$(PYTEST) -n 2 --dist loadfile
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	echo "again on SQLite:" && \
	DATABASE_URL="sqlite:///$$folder/both.sqlite3" $(PYTEST) -m both

explore: .venv/.dev ## the property tests on examples that no run has drawn; before every release. ARGS="--hypothesis-seed 1" repeats one
	HYPOTHESIS_PROFILE=explore $(PYTEST) -m hypothesis $(ARGS)

check: .venv/.dev ## format, lint, types, templates, migrations, deployment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/djlint --quiet --lint templates
	@$(PRODUCTION) DATABASE_URL=sqlite://:memory: $(MANAGE) makemigrations --check --dry-run
	@$(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING

bench: .venv/.dev ## measure; writes benchmarks/latest.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

chaos: .venv/.dev ## send a day while workers, Redis and PostgreSQL die; ARGS="--over smtp", "--no-resend", "--readers 2000"
	$(BIN)/python -m tests.chaos $(ARGS)

lock: ## choose versions anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		--group dev --constraint requirements.lock \
		pyproject.toml --output-file requirements-dev.lock

clean: ## remove what was built; the rows and mails of a demo in var/ stay
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
