# The broker, in commands. STACK picks the stack file: Pulumi.$(STACK).yaml.
STACK ?= dev

python := .venv/bin/python

# What a person gives. A recipe reads it from the shell's environment as "$$given_NAME", and make
# tests it with $(value NAME). So make expands no value (it would run $(shell ...), and take the $S
# out of $SYS), and no shell parses one.
override givens := ACTION ADDRESS ALL BASE CLIENTS CONF CONTAINER COUNT DATA DAYS FAIL_ON FOLLOW \
  FORMAT FROM HEAD IDENTITY JSON LINES LOG MESSAGE MINUTES ONLY OTHER OUT PASSWORDS PREVIOUS RETAIN \
  SECRETS SINCE STACK TOPIC USER YES python
$(foreach name,$(givens),$(eval override given_$(name) := $$(value $(name))))
# A shell has a USER of its own; only one given to make counts.
override given_USER := $(if $(filter command line,$(origin USER)),$(value USER))
export $(addprefix given_,$(givens))
# make exports what its command line sets, and expands it for that unless it is plain text.
override typed := $(foreach name,$(.VARIABLES),$(if $(filter command line,$(origin $(name))),$(name)))
$(foreach name,$(typed),$(eval override $(name) := $$(value $(name))))

# $(call option,--name,NAME): --name="..." where NAME is given.
override option = $(if $(value $(2)),$(1)="$$given_$(2)")
# $(call flag,--name,NAME,word): --name where NAME is that word; without a word, where it is given.
override flag = $(if $(if $(3),$(filter $(3),$(value $(2))),$(value $(2))),$(1))

override run := "$$given_python" -m
override stack := --stack="$$given_STACK"

.PHONY: help adopt up preview outputs down credentials certificate rotate password access-diff access-map check watch publish logs status inventory refused restart backup verify-backup restore expect firewall who-can explain env test bench soak docs lock venv venv-dev

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

up: venv ## bring the broker up, or change it to what the stack file says; YES=1 doesn't ask
	@$(run) cli.up $(stack) $(call flag,--yes,YES)

adopt: venv ## a stack file for a broker set up by hand: STACK= FROM=folder ADDRESS=; CONTAINER=, DATA=, LOG=
	@$(run) cli.adopt $(stack) --from="$$given_FROM" --conf="$$given_CONF" --address="$$given_ADDRESS" --container="$$given_CONTAINER" --data="$$given_DATA" --log="$$given_LOG"

preview: venv ## show what `up` would change
	@$(run) cli.preview $(stack)

outputs: venv ## show the stack's outputs; SECRETS=show for credentials
	@$(run) cli.outputs $(stack) $(call flag,--show-secrets,SECRETS,show)

down: venv ## take the broker away; data and logs stay unless DATA=delete, passwords go unless PASSWORDS=keep
	@$(run) cli.down $(stack) $(call flag,--yes,YES) $(call flag,--delete-data,DATA,delete) $(call flag,--keep-passwords,PASSWORDS,keep)

credentials: venv ## how USER= logs in; FORMAT=header for firmware; ALL=folder for everybody
	@$(run) cli.credentials $(stack) --format="$${given_FORMAT:-env}" $(or $(call option,--all,ALL),--user="$$given_USER")

certificate: venv ## a certificate that USER= shows as a client, of the stack's CA; OUT=folder, DAYS=
	@$(run) cli.certificate $(stack) --user="$$given_USER" --days="$${given_DAYS:-397}" --out="$${given_OUT:-certificates}"

rotate: venv ## new passwords for USER=a,b, or for ALL=1; PREVIOUS=revoke ends an overlap
	@$(run) cli.rotate $(stack) $(call flag,--yes,YES) --users="$$given_USER" $(call flag,--all,ALL) $(call flag,--revoke-previous,PREVIOUS,revoke)

password: venv ## print the password of USER= alone
	@$(run) cli.credentials $(stack) --user="$$given_USER" --only-password

access-diff: venv ## what a change lets whom do, against BASE=main; FAIL_ON=widened is a gate
	@$(run) cli.access_diff --base="$${given_BASE:-main}" $(call option,--head,HEAD) $(call flag,--json,JSON) --fail-on="$$given_FAIL_ON"

check: venv ## the page's checklist, of the broker that runs; FORMAT=json, OUT=page.md
	@$(run) cli.check $(stack) --format="$${given_FORMAT:-text}" $(call option,--out,OUT)

watch: venv ## what USER= receives of TOPIC=, as it comes; COUNT= ends it
	@$(run) cli.watch $(stack) --user="$$given_USER" $(call option,--topic,TOPIC) $(call option,--count,COUNT)

publish: venv ## one MESSAGE= to TOPIC= as USER=; RETAIN=1 keeps it
	@$(run) cli.publish $(stack) --user="$$given_USER" --topic="$$given_TOPIC" --message="$$given_MESSAGE" $(call flag,--retain,RETAIN)

logs: venv ## the broker's last LINES=100; FOLLOW=1 goes on
	@$(run) cli.logs $(stack) --lines="$${given_LINES:-100}" $(call flag,--follow,FOLLOW)

status: venv ## health, clients, rates and memory of the broker
	@$(run) cli.status $(stack)

inventory: venv ## who is declared against who was seen in the log; FORMAT=json
	@$(run) cli.inventory $(stack) --format="$${given_FORMAT:-text}"

refused: venv ## refused logins and denied messages by user and address; SINCE=24h, FORMAT=json
	@$(run) cli.refused $(stack) --since="$${given_SINCE:-24h}" --format="$${given_FORMAT:-text}"

restart: venv ## start the broker again with its data, and wait until it answers
	@$(run) cli.restart $(stack)

backup: venv ## one archive of what the broker keeps, made now
	@$(run) cli.backup $(stack)

verify-backup: venv ## a broker of its own starts on an archive: FROM=latest or a path on the host; IDENTITY=
	@$(run) cli.verify_backup $(stack) --archive="$${given_FROM:-latest}" $(call option,--identity,IDENTITY)

restore: venv ## the broker holds what FROM= holds: latest or a path on the host; IDENTITY=, YES=1, OTHER=1
	@$(run) cli.restore $(stack) --archive="$$given_FROM" $(call option,--identity,IDENTITY) $(call flag,--yes,YES) $(call flag,--other,OTHER)

expect: venv ## put the stack file's expectations to the broker that runs
	@$(run) cli.expect $(stack)

firewall: venv ## who may reach which port, and whether the rules are in force
	@$(run) cli.firewall $(stack)

who-can: venv ## who may ACTION=write (or read) TOPIC=
	@$(run) cli.who_can $(stack) --action="$$given_ACTION" --topic="$$given_TOPIC"

explain: venv ## which rule decides about USER= and TOPIC=
	@$(run) cli.explain $(stack) --user="$$given_USER" --topic="$$given_TOPIC"

access-map: venv ## who may do what, as a matrix and a map; OUT=folder
	@$(run) cli.access_map $(stack) --out="$${given_OUT:-access}"

env: venv ## print what plain `pulumi` needs: eval "$$(make -s env)"
	@$(run) cli.env $(stack)

test: venv-dev ## run every test; ONLY=unit,engine runs those stages: lint, go, unit, engine, accepted, e2e
	@$(run) bootstrap.test_suite $(call option,--only,ONLY)

bench: venv-dev ## the figures of docs/explanation/bench.md, each a ratio within one run
	@for each in $$(grep -l '^def main' bench/*.py); do $(run) "bench.$$(basename "$$each" .py)" || exit 1; done

soak: venv-dev ## 200 CLIENTS= for 10 MINUTES=, while the broker is killed, its disk filled, ...; OUT=page.md
	@$(run) bench.soak --minutes="$${given_MINUTES:-10}" --clients="$${given_CLIENTS:-200}" $(call option,--out,OUT)

docs: venv ## write the table of docs/reference/settings.md
	@$(run) cli.settings_reference

lock: venv-dev ## pin requirements anew after a change of requirements*.in
	@$(run) piptools compile -q --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements.txt requirements.in
	@$(run) piptools compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements-dev.txt requirements-dev.in

venv:
	@sh bootstrap/venv.sh requirements.txt requirements-dev.txt

venv-dev:
	@sh bootstrap/venv.sh requirements-dev.txt
