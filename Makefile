# The broker, in commands. STACK picks the stack file: Pulumi.$(STACK).yaml.
STACK ?= dev

python := .venv/bin/python

# A shell has a USER of its own; only one given to make counts.
user := $(if $(filter command line,$(origin USER)),$(USER))

# A value as it was typed: make would take the $S out of $SYS, and the shell the quotes out of JSON.
typed = '$(subst ','\'',$(value $(1)))'

.PHONY: help adopt up preview outputs down credentials certificate rotate password access-diff access-map check watch publish logs status inventory refused restart backup verify-backup restore expect firewall who-can explain env test bench soak docs lock venv venv-dev

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

up: venv ## bring the broker up, or change it to what the stack file says; YES=1 doesn't ask
	@$(python) -m ops.up --stack '$(STACK)' $(if $(YES),--yes)

adopt: venv ## a stack file for a broker set up by hand: STACK= FROM=folder ADDRESS=; CONTAINER=, DATA=, LOG=
	@$(python) -m ops.adopt --stack '$(STACK)' --from '$(FROM)' --conf '$(CONF)' --address '$(ADDRESS)' --container '$(CONTAINER)' --data '$(DATA)' --log '$(LOG)'

preview: venv ## show what `up` would change
	@$(python) -m ops.preview --stack '$(STACK)'

outputs: venv ## show the stack's outputs; SECRETS=show for credentials
	@$(python) -m ops.outputs --stack '$(STACK)' $(if $(filter show,$(SECRETS)),--show-secrets)

down: venv ## take the broker away; data and logs stay unless DATA=delete, passwords go unless PASSWORDS=keep
	@$(python) -m ops.down --stack '$(STACK)' $(if $(YES),--yes) $(if $(filter delete,$(DATA)),--delete-data) $(if $(filter keep,$(PASSWORDS)),--keep-passwords)

credentials: venv ## how USER= logs in; FORMAT=header for firmware; ALL=folder for everybody
	@$(python) -m ops.credentials --stack '$(STACK)' --format '$(or $(FORMAT),env)' $(if $(ALL),--all '$(ALL)',--user '$(user)')

certificate: venv ## a certificate that USER= shows as a client, of the stack's CA; OUT=folder, DAYS=
	@$(python) -m ops.certificate --stack '$(STACK)' --user '$(user)' --days '$(or $(DAYS),397)' --out '$(or $(OUT),certificates)'

rotate: venv ## new passwords for USER=a,b, or for ALL=1; PREVIOUS=revoke ends an overlap
	@$(python) -m ops.rotate --stack '$(STACK)' $(if $(YES),--yes) --users '$(user)' $(if $(ALL),--all) $(if $(filter revoke,$(PREVIOUS)),--revoke-previous)

password: venv ## print the password of USER= alone
	@$(python) -m ops.credentials --stack '$(STACK)' --user '$(user)' --only-password

access-diff: venv ## what a change lets whom do, against BASE=main; FAIL_ON=widened is a gate
	@$(python) -m ops.access_diff --base '$(or $(BASE),main)' $(if $(HEAD),--head '$(HEAD)') $(if $(JSON),--json) --fail-on '$(FAIL_ON)'

check: venv ## the page's checklist, of the broker that runs; FORMAT=json, OUT=page.md
	@$(python) -m ops.check --stack '$(STACK)' --format '$(or $(FORMAT),text)' $(if $(OUT),--out '$(OUT)')

watch: venv ## what USER= receives of TOPIC=, as it comes; COUNT= ends it
	@$(python) -m ops.watch --stack '$(STACK)' --user '$(user)' $(if $(value TOPIC),--topic $(call typed,TOPIC)) $(if $(COUNT),--count '$(COUNT)')

publish: venv ## one MESSAGE= to TOPIC= as USER=; RETAIN=1 keeps it
	@$(python) -m ops.publish --stack '$(STACK)' --user '$(user)' --topic $(call typed,TOPIC) --message=$(call typed,MESSAGE) $(if $(RETAIN),--retain)

logs: venv ## the broker's last LINES=100; FOLLOW=1 goes on
	@$(python) -m ops.logs --stack '$(STACK)' --lines '$(or $(LINES),100)' $(if $(FOLLOW),--follow)

status: venv ## health, clients, rates and memory of the broker
	@$(python) -m ops.status --stack '$(STACK)'

inventory: venv ## who is declared against who was seen in the log; FORMAT=json
	@$(python) -m ops.inventory --stack '$(STACK)' --format '$(or $(FORMAT),text)'

refused: venv ## refused logins and denied messages by user and address; SINCE=24h, FORMAT=json
	@$(python) -m ops.refused --stack '$(STACK)' --since '$(or $(SINCE),24h)' --format '$(or $(FORMAT),text)'

restart: venv ## start the broker again with its data, and wait until it answers
	@$(python) -m ops.restart --stack '$(STACK)'

backup: venv ## one archive of what the broker keeps, made now
	@$(python) -m ops.backup --stack '$(STACK)'

verify-backup: venv ## a broker of its own starts on an archive: FROM=latest or a path on the host; IDENTITY=
	@$(python) -m ops.verify_backup --stack '$(STACK)' --archive '$(or $(FROM),latest)' $(if $(IDENTITY),--identity '$(IDENTITY)')

restore: venv ## the broker holds what FROM= holds: latest or a path on the host; IDENTITY=, YES=1, OTHER=1
	@$(python) -m ops.restore --stack '$(STACK)' --archive '$(FROM)' $(if $(IDENTITY),--identity '$(IDENTITY)') $(if $(YES),--yes) $(if $(OTHER),--other)

expect: venv ## put the stack file's expectations to the broker that runs
	@$(python) -m ops.expect --stack '$(STACK)'

firewall: venv ## who may reach which port, and whether the rules are in force
	@$(python) -m ops.firewall --stack '$(STACK)'

who-can: venv ## who may ACTION=write (or read) TOPIC=
	@$(python) -m ops.who_can --stack '$(STACK)' --action '$(ACTION)' --topic '$(TOPIC)'

explain: venv ## which rule decides about USER= and TOPIC=
	@$(python) -m ops.explain --stack '$(STACK)' --user '$(user)' --topic '$(TOPIC)'

access-map: venv ## who may do what, as a matrix and a map; OUT=folder
	@$(python) -m ops.access_map --stack '$(STACK)' --out '$(or $(OUT),access)'

env: venv ## print what plain `pulumi` needs: eval "$$(make -s env)"
	@$(python) -m ops.env --stack '$(STACK)'

test: venv-dev ## run every test
	@$(python) -m ops.test

bench: venv-dev ## the figures of docs/bench.md, each a ratio within one run
	@for each in $$(grep -l '^def main' bench/*.py); do $(python) -m "bench.$$(basename "$$each" .py)" || exit 1; done

soak: venv-dev ## 200 CLIENTS= for 10 MINUTES=, while the broker is killed, its disk filled, ...; OUT=page.md
	@$(python) -m bench.soak --minutes '$(or $(MINUTES),10)' --clients '$(or $(CLIENTS),200)' $(if $(OUT),--out '$(OUT)')

docs: venv ## write the table of docs/settings.md
	@$(python) -m ops.settings

lock: venv-dev ## pin requirements anew after a change of requirements*.in
	@$(python) -m piptools compile -q --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements.txt requirements.in
	@$(python) -m piptools compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements-dev.txt requirements-dev.in

venv:
	@sh setup/venv.sh requirements.txt requirements-dev.txt

venv-dev:
	@sh setup/venv.sh requirements-dev.txt
