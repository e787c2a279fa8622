# What is done to this repository. What is done to a broker: ./brokerctl --help.
# STACK picks the stack file of `up`: Pulumi.$(STACK).yaml. ONLY picks stages of `test`.
STACK ?= dev

# What a person gives is read from the shell's environment: make expands no value (it would run
# $(shell ...)), and no shell parses one. Nothing else that is given to make reaches a recipe.
override given_STACK := $(value STACK)
override given_ONLY := $(value ONLY)
export given_STACK given_ONLY
# make exports what its command line sets, and expands it for that unless it is plain text.
override typed := $(foreach name,$(.VARIABLES),$(if $(filter command line,$(origin $(name))),$(name)))
$(foreach name,$(typed),$(eval override $(name) := $$(value $(name))))

override run := .venv/bin/python -m

.PHONY: help up test test-fresh lint bench docs lock venv-dev

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14
	@echo 'Everything that is done to a broker: ./brokerctl --help'

up: ## ./brokerctl up, for the stack STACK=dev
	@./brokerctl up --stack="$$given_STACK"

test: venv-dev ## run every test; ONLY=unit,engine runs those stages: lint, go, unit, host, engine, integration, e2e
	@$(run) cli.development.test_suite $(if $(value ONLY),--only="$$given_ONLY")

test-fresh: ## `make up` and `make test` on a bare Debian root; needs root and mmdebstrap
	@sh tests/fresh_machine.sh

lint: venv-dev ## the stage `lint` of the tests alone
	@$(run) cli.development.test_suite --only=lint

bench: venv-dev ## the figures of docs/explanation/bench.md, each a ratio within one run
	@for file in $$(grep -l '^def main' bench/*.py); do $(run) "bench.$$(basename "$$file" .py)" || exit 1; done

docs: venv-dev ## write the tables of docs/reference/settings.md and docs/reference/commands.md
	@$(run) cli.development.settings_reference
	@$(run) cli.development.commands_reference

lock: venv-dev ## pin the requirements again after a change of requirements*.in
	@$(run) piptools compile -q --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements.txt requirements.in
	@$(run) piptools compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements-dev.txt requirements-dev.in

venv-dev:
	@sh bootstrap/venv.sh requirements-dev.txt
