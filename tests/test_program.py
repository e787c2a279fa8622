"""The whole program, with the settings that each stack really has."""

import copy
import json
import runpy
from contextlib import nullcontext

import pulumi
import pytest
import yaml
from declared import ROOT, settings_of, stack_file
from fake_engine import (
    COMMAND,
    CONTAINER,
    IMAGE,
    PASSWORD,
    PROVIDER,
    FakeEngine,
    everything_plain,
    is_secret,
    password_of,
)
from pulumi.runtime import get_root_resource, set_all_config

from broker.host.facts import HostFacts
from broker.host.transport import clean_interpreter
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.settings.stack_settings import PROJECT
from components import host_probe as preflight
from components import stack_config as stackfile

STACKS = [path.name.split(".")[1] for path in sorted(ROOT.glob("Pulumi.*.yaml"))]
RESOURCES_BESIDE_USERS = 29
"""The stack, components, provider, images, network, containers, commands, salts, health check."""


class Program:
    """``__main__.py``, run by a fake engine on a host that will do."""

    def __init__(self, engine, monkeypatch):
        self.engine = engine
        self.seen = {("docker", "-"): "ok"}
        self.asked = []
        monkeypatch.setattr(preflight, "ask", lambda _, wanted: self._ask(wanted))
        monkeypatch.delenv("DOCKER_CONTEXT", raising=False)

    def _ask(self, wanted):
        self.asked.append(wanted)
        return HostFacts(facts=self.seen)

    def run(self, stack, *, preview=False, config=None, secrets=()):
        values = stack_file(stack) if config is None else config
        self.engine.start(stack=stack, preview=preview)
        set_all_config(
            {f"{PROJECT}:{key}": json.dumps(each) for key, each in values.items()},
            [f"{PROJECT}:{key}" for key in secrets],
        )
        self.engine.run(lambda: runpy.run_path(str(ROOT / "__main__.py")) and None)
        return self

    def output(self, name):
        return self.engine.run(lambda: get_root_resource().outputs[name])

    def is_secret(self, name):
        output = pulumi.Output.from_input(get_root_resource().outputs[name])
        return self.engine.run(output.is_secret)

    @property
    def outputs(self):
        return set(get_root_resource().outputs)


@pytest.fixture
def program(monkeypatch):
    return Program(FakeEngine(monkeypatch), monkeypatch)


@pytest.mark.parametrize("stack", STACKS)
class TestEachStack:
    def test_logins_are_secret_outputs(self, program, stack):
        program.run(stack)

        assert program.is_secret("credentials")
        assert program.is_secret("envFiles")
        found = program.output("credentials")
        assert list(found) == list(stack_file(stack)["users"])
        password = password_of("credentials-admin")
        assert found["admin"]["username"] == "admin"
        assert found["admin"]["password"] == password
        assert f"admin:{password}@" in found["admin"]["url"]
        assert f"\nMQTT_PASSWORD={password}\n" in program.output("envFiles")["admin"]

    def test_the_other_outputs_are_plain_and_hold_no_secret(self, program, stack):
        program.run(stack)

        assert program.outputs == {
            *("credentials", "envFiles", "access", "endpoints", "firewall", "image", "readme"),
            "rotations",
        }
        for name in ("access", "endpoints", "firewall", "image", "readme", "rotations"):
            assert not program.is_secret(name)
            shown = str(program.output(name))
            assert "Password-of" not in shown
            assert "$7$" not in shown

    def test_access_is_who_may_do_what(self, program, stack):
        program.run(stack)

        access = program.output("access")
        assert list(access) == list(stack_file(stack)["users"])
        assert access["paragon_devices"]["read"] == ["paragon/+/commands/#"]

    def test_no_input_shows_a_password_or_a_hash(self, program, stack):
        program.run(stack)

        for args in program.engine.created.values():
            assert "Password-of" not in everything_plain(args)
            assert "$7$" not in everything_plain(args)
        assert all(is_secret(each.inputs["stdin"]) for each in self.commands(program).values())

    def test_each_command_has_the_one_shape(self, program, stack):
        program.run(stack)

        for name, args in self.commands(program).items():
            assert args.inputs["logging"] == "none"
            assert args.inputs["addPreviousOutputInEnv"] is False
            assert "triggers" not in args.inputs
            secret = program.engine.options[name].additional_secret_outputs
            assert set(secret) == {"stdout", "stderr"}

    def test_docker_is_asked_through_the_one_provider_that_names_its_host(self, program, stack):
        program.run(stack)

        (provider,) = program.engine.of_type(PROVIDER).values()
        assert provider.inputs["host"] == "unix:///var/run/docker.sock"
        for typ in (IMAGE, CONTAINER):
            found = program.engine.of_type(typ).values()
            assert found
            assert all(args.provider.endswith("::host::host-id") for args in found)
        assert not program.engine.inputs_of("image").get("pullTriggers")
        assert program.engine.inputs_of("image")["keepLocally"] is True

    def test_first_the_files_then_the_container_then_who_needs_it(self, program, stack):
        program.run(stack)

        order = [name for (_, name), args in program.engine.created.items() if args.custom]
        places = [
            order.index(name)
            for name in ("configuration-files", "broker-guard", "broker", "broker-ready")
        ]
        assert places == sorted(places)
        written = [place for place, name in enumerate(order) if name.startswith("envfiles")]
        assert all(place > order.index("broker-ready") for place in written)

    def test_a_first_preview_needs_no_password_to_exist(self, program, stack):
        program.run(stack, preview=True)

        assert program.engine.of_type(CONTAINER)
        assert program.output("credentials") is None
        assert program.output("access")

    def test_the_number_of_resources_grows_by_one_a_user(self, program, stack):
        def count(users):
            config = stack_file(stack)
            config["users"] |= {
                f"door{number}": {"read": ["paragon/a/status/#"]} for number in range(users)
            }
            return len(program.run(stack, config=config).engine.created)

        few = count(0)
        assert count(1) == few + 1
        assert count(40) == few + 40
        assert few <= RESOURCES_BESIDE_USERS + len(stack_file(stack)["users"])

    @staticmethod
    def commands(program):
        found = program.engine.of_type(COMMAND)
        assert {"configuration-folders", "configuration-files", "broker-ready"} <= set(found)
        # It runs where Pulumi does, and holds no secret.
        return {name: each for name, each in found.items() if name != "rotations-times"}


class TestTheReservedListener:
    """A new container has it; one of version 0.1 is not replaced for it."""

    def made(self, program):
        broker = settings_of("prod").broker
        files = program.engine.inputs_of("configuration-files")["environment"]
        labels = {
            each["label"]: each["value"] for each in program.engine.inputs_of("broker")["labels"]
        }
        return broker, files["mosquitto.conf"], labels

    def test_a_new_container_has_it(self, program):
        broker, conf, labels = self.made(program.run("prod"))

        assert conf == render_conf(broker, reserved=True)
        assert labels["sentient-mqtt.reserved"] == "11883"
        assert labels["sentient-mqtt.configuration"] == start_digest(
            broker, broker.image, reserved=True
        )

    def test_one_that_was_made_without_it_keeps_its_file_and_its_labels(self, program):
        before = start_digest(settings_of("prod").broker, settings_of("prod").broker.image)
        program.seen["configuration", settings_of("prod").broker.container] = before

        broker, conf, labels = self.made(program.run("prod"))

        assert conf == render_conf(broker)
        assert labels["sentient-mqtt.configuration"] == before
        assert "sentient-mqtt.reserved" not in labels


def test_a_change_that_was_taken_back_on_the_host_is_put_in_place_again(program):
    """The state is that of before it, so a stack file that goes back differs in nothing."""
    files = program.run("prod").engine.inputs_of("configuration-files")["environment"]
    assert "withdrawn" not in files
    program.seen["known", ":rules"] = "withdrawn-1000"

    files = program.run("prod").engine.inputs_of("configuration-files")["environment"]
    assert files["withdrawn"] == "withdrawn-1000"


def test_a_preview_without_the_host_repeats_the_revision_of_the_last_deployment(
    program, monkeypatch
):
    name = "firewall-rules-mosquitto-shared"
    monkeypatch.setenv(preflight.SKIP, "skip")
    program.engine.last_deployment = {
        f"urn:pulumi:prod::{PROJECT}::{COMMAND}::{name}": {
            "type": COMMAND,
            "outputs": {"environment": {"rules.v4": "*mangle", "rules.v6": "*mangle", "turn": "7"}},
        }
    }

    shown = program.run("prod", preview=True).engine.shown_of(name)

    assert program.asked == []
    assert shown["turn"] == "7"
    assert set(shown) == {"rules.v4", "rules.v6", "turn"}


def test_an_up_looks_at_the_host_whatever_the_environment_says(program, monkeypatch):
    monkeypatch.setenv(preflight.SKIP, "skip")

    program.run("prod")

    assert len(program.asked) == 1


def test_prod_writes_the_seeds_env_file(program):
    program.run("prod")

    assert program.engine.shown_of("envfiles-/opt/sentient/.env.production") == {
        "/opt/sentient/.env.production": "sentient_api_prod"
    }


def test_the_env_files_leave_out_who_has_a_password_that_they_would_change(program):
    config = stack_file("prod")
    for name in ("alike", "misread"):
        config["users"][name] = {"read": ["paragon/a/status/#"], "password": "supplied"}
    config["passwords"] = {"alike": "correct-horse:battery", "misread": "correct horse battery"}
    program.run("prod", config=config, secrets=["passwords"])

    logins = program.output("credentials")
    assert logins["misread"]["password"] == "correct horse battery"
    assert set(logins) - set(program.output("envFiles")) == {"misread"}
    assert "MQTT_PASSWORD=correct-horse:battery\n" in program.output("envFiles")["alike"]


def test_the_lists_of_before_go_once_all_that_listens_is_up(program):
    config = stack_file("prod")
    config["broker"]["monitoring"] = {"user": "sentient_monitor_prod"}
    program.run("prod", config=config)

    order = [name for (_, name), args in program.engine.created.items() if args.custom]
    rules, left = (f"firewall-{each}-mosquitto-shared" for each in ("rules", "left"))
    places = [order.index(each) for each in (rules, "broker", "broker-ready", left)]
    assert places == sorted(places)
    assert order.index("monitoring-exporter") < order.index(left)


def test_a_host_over_ssh_is_one_way_for_docker_and_for_commands(program):
    config = stack_file("prod")
    config["broker"] |= {"host": "ssh://sentient@192.168.2.3:2222", "sshConfig": "/etc/ssh/site"}
    program.run("prod", config=config)

    (provider,) = program.engine.of_type(PROVIDER).values()
    options = ["-F", "/etc/ssh/site", "-oBatchMode=yes", "-oConnectTimeout=10"]
    assert provider.inputs["host"] == "ssh://sentient@192.168.2.3:2222"
    assert json.loads(provider.inputs["sshOpts"]) == options
    for args in TestEachStack.commands(program).values():
        destination = ["-l", "sentient", "-p", "2222", "192.168.2.3"]
        ssh = ("ssh", "-T", *options, *destination)
        assert args.inputs["interpreter"] == list(clean_interpreter(ssh))


def test_the_image_that_stands_in_is_run_and_named(program):
    stand_in = "localhost/mosquitto-from-debian:2.0.21-trixie"
    program.seen[("image", "eclipse-mosquitto:2.0.22")] = "absent"
    program.seen[("standin", "localhost/mosquitto-from-debian:*-trixie")] = stand_in

    program.run("dev")

    assert program.engine.inputs_of("image")["name"] == stand_in
    assert program.output("image") == stand_in
    assert stand_in in program.output("readme")


def test_prod_never_runs_a_stand_in(program):
    program.seen[("image", "eclipse-mosquitto:2.0.22")] = "absent"
    program.seen[("standin", "localhost/mosquitto-from-debian:*-trixie")] = "localhost/x:1"

    program.run("prod")

    assert program.output("image") == "eclipse-mosquitto:2.0.22"


def test_a_fleet_gives_out_one_secret_seed_and_no_resource_a_member(program):
    config = stack_file("dev")
    before = len(program.run("dev", config=copy.deepcopy(config)).engine.created)
    config["fleets"] = {
        "door": {"count": 1000, "prefix": "door", "write": ["paragon/%u/sensors/#"]}
    }

    program.run("dev", config=config)

    assert len(program.engine.created) == before + 1
    assert program.is_secret("fleetSeeds")
    assert program.output("fleetSeeds") == {"door": password_of("credentials.fleet.door")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda config: config["broker"].update(adress="x"),
            "sentient-mqtt:broker.adress: unknown key. Did you mean 'address'?",
        ),
        (
            lambda config: config.update(user={}),
            "sentient-mqtt:user: unknown key. Did you mean 'users'?",
        ),
        (
            lambda config: config["users"].update(lamp={"read": ["a/#/b"]}),
            "sentient-mqtt:users.lamp.read[0]: 'a/#/b': '#' must be the last level",
        ),
        (
            lambda config: config["expect"].append("paragon_devices may write paragon/x"),
            "paragon_devices may not write paragon/x",
        ),
    ],
)
def test_a_bad_stack_file_is_refused_before_anything_is_looked_at_or_registered(
    program, change, says
):
    config = stack_file("prod")
    change(config)

    with pytest.raises(pulumi.RunError) as refused:
        program.run("prod", config=config)

    (line,) = str(refused.value).splitlines()
    assert says in line
    assert program.asked == []
    assert not [name for typ, name in program.engine.created if typ != "pulumi:pulumi:Stack"]


CHOSEN = "correct horse battery"


def with_a_chosen_password():
    config = stack_file("prod")
    config["users"]["lamp"] = {"read": ["paragon/+/status/#"], "password": "supplied"}
    return config | {"passwords": {"lamp": CHOSEN}}


def test_a_password_in_clear_is_refused_before_anything_is_looked_at(program):
    program.run("prod", config=with_a_chosen_password(), secrets=["passwords"])
    assert program.asked
    program.asked.clear()

    with pytest.raises(pulumi.RunError) as refused:
        program.run("prod", config=with_a_chosen_password())

    line, fix = str(refused.value).splitlines()
    assert line.startswith("sentient-mqtt:passwords.lamp: is in clear")
    assert "pulumi config set --secret" in fix
    assert CHOSEN not in line + fix
    assert program.asked == []
    assert program.engine.of_type(PASSWORD) == {}


@pytest.mark.parametrize(("door", "refused"), [({"secure": "v1:a"}, False), (CHOSEN, True)])
def test_one_in_clear_beside_one_that_is_not_is_found_in_the_file(
    program, monkeypatch, tmp_path, door, refused
):
    """The engine says of the whole object that it is secret."""
    written = {"lamp": {"secure": "v1:a"}, "door": door}
    text = yaml.safe_dump({"config": {"sentient-mqtt:passwords": written}})
    (tmp_path / "Pulumi.prod.yaml").write_text(text)
    monkeypatch.setattr(stackfile, "PROJECT_FOLDER", tmp_path)

    with (
        pytest.raises(pulumi.RunError, match=r"passwords\.door: is in clear")
        if refused
        else nullcontext()
    ):
        program.run("prod", config=with_a_chosen_password(), secrets=["passwords"])
    assert (program.asked == []) is refused


def test_a_host_that_will_not_do_is_refused_before_anything_is_registered(program):
    program.seen[("docker", "-")] = "absent"

    with pytest.raises(pulumi.RunError, match="the docker command is missing"):
        program.run("prod")

    assert program.engine.of_type(PASSWORD) == {}


def test_a_stack_file_that_says_nothing_is_asked_for_what_it_must_say(program):
    with pytest.raises(pulumi.RunError) as refused:
        program.run("dev", config={})

    assert str(refused.value).splitlines() == [
        "sentient-mqtt:broker: is required and not there.",
        "  Fix: Add it to the stack file.",
        "sentient-mqtt:users: is required and not there.",
        "  Fix: Add it to the stack file.",
    ]


def test_a_value_set_as_a_plain_word_is_told_as_one(program):
    """`pulumi config set broker x` stores text that isn't JSON."""
    program.engine.start(stack="dev")
    set_all_config({f"{PROJECT}:broker": "x", f"{PROJECT}:users": json.dumps({"a": {}})})

    with pytest.raises(pulumi.RunError, match=r"sentient-mqtt:broker: 'x': must be a mapping"):
        program.engine.run(lambda: runpy.run_path(str(ROOT / "__main__.py")) and None)
