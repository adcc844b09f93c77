# What you need: Python 3.11 or newer, git, make. uv is fetched into .tools/ when it is missing.
RUN := @sh scripts/with-uv.sh uv run --quiet

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

demo:  ## start a default project in a temporary folder; Ctrl-C removes it (STACK=django; CHECK=1: ask every URL, then stop)
	$(RUN) python -m scripts.demo $(STACK) $(if $(CHECK),--check)

test:  ## everything that CI runs, the pairwise proof included
	$(RUN) python -m scripts.checks

prove:  ## every variant, 3-way: stop and resume as you like (FRESH=1, JOBS=n, STRENGTH=2, ONLY='database=postgresql')
	$(RUN) python -m proof $(if $(FRESH),--fresh) $(if $(JOBS),--jobs $(JOBS)) $(if $(STRENGTH),--strength $(STRENGTH)) \
		$(if $(ONLY),--only '$(ONLY)')

faults:  ## kill, restart, fill and empty what webhooks live on (ROUNDS=20, ONLY=kill-web, DATABASE=sqlite, BROKER=redis, SEED=x)
	$(RUN) python -m proof.faults $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(DATABASE),--database $(DATABASE)) $(if $(BROKER),--broker $(BROKER)) $(if $(SEED),--seed $(SEED))

bench:  ## measure generation, the first green test, and the generated service
	$(RUN) python -m benchmarks

container:  ## build images and start them as compose.yml does (needs buildah and root; says so when it cannot)
	$(RUN) python -m proof.containers

lint:  ## ruff and mypy on this repository
	$(RUN) python -m scripts.checks --lint

sync:  ## make what is made from questions/ and hooks/ (cookiecutter.json, the templates' hooks, README's table)
	$(RUN) python scripts/sync.py
	$(RUN) python -m scripts.options_table

.PHONY: help demo test prove faults bench container lint sync
.DEFAULT_GOAL := help
