"""``__main__.py`` with the stack files of this repository."""

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
from components import host_probe, stack_config

STACKS = [path.name.split(".")[1] for path in sorted(ROOT.glob("Pulumi.*.yaml"))]
RESOURCES_BESIDE_USERS = 34
"""The stack, components, provider, images, network, containers, commands, salts, id, health."""


class Program:
    """``__main__.py``, run by a fake engine for a usable host."""

    def __init__(self, engine, monkeypatch):
        self.engine = engine
        self.host_facts = {("docker", "-"): "ok"}
        self.probes = []
        monkeypatch.setattr(host_probe, "run_probe", self._probe)
        monkeypatch.delenv("DOCKER_CONTEXT", raising=False)

    def _probe(self, _, requirements):
        self.probes.append(requirements)
        return HostFacts(facts=self.host_facts)

    def run(self, stack, *, preview=False, config=None, secrets=()):
        values = stack_file(stack) if config is None else config
        self.engine.start(stack=stack, preview=preview)
        set_all_config(
            {f"{PROJECT}:{key}": json.dumps(value) for key, value in values.items()},
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
        credentials = program.output("credentials")
        assert list(credentials) == list(stack_file(stack)["users"])
        password = password_of("credentials-admin")
        assert credentials["admin"]["username"] == "admin"
        assert credentials["admin"]["password"] == password
        assert f"admin:{password}@" in credentials["admin"]["url"]
        assert f"\nMQTT_PASSWORD={password}\n" in program.output("envFiles")["admin"]

    def test_the_other_outputs_are_plain_and_contain_no_secret(self, program, stack):
        program.run(stack)

        assert program.outputs == {
            *("credentials", "envFiles", "access", "endpoints", "firewall", "image", "readme"),
            "rotations",
        }
        for name in ("access", "endpoints", "firewall", "image", "readme", "rotations"):
            assert not program.is_secret(name)
            text = str(program.output(name))
            assert "Password-of" not in text
            assert "$7$" not in text

    def test_access_lists_the_rights_of_each_user(self, program, stack):
        program.run(stack)

        access = program.output("access")
        assert list(access) == list(stack_file(stack)["users"])
        assert access["paragon_devices"]["read"] == ["paragon/+/commands/#"]

    def test_no_plain_input_contains_a_password_or_a_hash(self, program, stack):
        program.run(stack)

        for args in program.engine.created.values():
            assert "Password-of" not in everything_plain(args)
            assert "$7$" not in everything_plain(args)
        assert all(is_secret(args.inputs["stdin"]) for args in self.commands(program).values())

    def test_every_command_keeps_its_output_secret_and_has_no_trigger(self, program, stack):
        program.run(stack)

        for name, args in self.commands(program).items():
            assert args.inputs["logging"] == "none"
            assert args.inputs["addPreviousOutputInEnv"] is False
            assert "triggers" not in args.inputs
            secret = program.engine.options[name].additional_secret_outputs
            assert set(secret) == {"stdout", "stderr"}

    def test_every_docker_resource_uses_the_provider_for_its_host(self, program, stack):
        program.run(stack)

        (provider,) = program.engine.of_type(PROVIDER).values()
        assert provider.inputs["host"] == "unix:///var/run/docker.sock"
        for typ in (IMAGE, CONTAINER):
            resources = program.engine.of_type(typ).values()
            assert resources
            assert all(args.provider.endswith("::host::host-id") for args in resources)
        assert not program.engine.inputs_of("image").get("pullTriggers")
        assert program.engine.inputs_of("image")["keepLocally"] is True

    def test_order_is_files_container_env_files(self, program, stack):
        program.run(stack)

        order = [name for (_, name), args in program.engine.created.items() if args.custom]
        positions = [
            order.index(name)
            for name in ("configuration-files", "broker-guard", "broker", "broker-ready")
        ]
        assert positions == sorted(positions)
        env_files = [index for index, name in enumerate(order) if name.startswith("envfiles")]
        assert all(index > order.index("broker-ready") for index in env_files)

    def test_a_first_preview_works_without_passwords(self, program, stack):
        program.run(stack, preview=True)

        assert program.engine.of_type(CONTAINER)
        assert program.output("credentials") is None
        assert program.output("access")

    def test_each_user_adds_one_resource(self, program, stack):
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
        # rotations-times runs locally and has no secrets.
        return {name: args for name, args in found.items() if name != "rotations-times"}


class TestTheReservedListener:
    """A new container has it; a container of version 0.1 is not replaced to get it."""

    def deployed(self, program):
        broker = settings_of("prod").broker
        files = program.engine.inputs_of("configuration-files")["environment"]
        labels = {
            label["label"]: label["value"] for label in program.engine.inputs_of("broker")["labels"]
        }
        return broker, files["mosquitto.conf"], labels

    def test_a_new_container_has_it(self, program):
        broker, conf, labels = self.deployed(program.run("prod"))

        assert conf == render_conf(broker, reserved=True)
        assert labels["sentient-mqtt.reserved"] == "11883"
        assert labels["sentient-mqtt.configuration"] == start_digest(
            broker, broker.image, reserved=True
        )

    def test_a_container_without_it_keeps_its_configuration_and_its_labels(self, program):
        before = start_digest(settings_of("prod").broker, settings_of("prod").broker.image)
        program.host_facts["configuration", settings_of("prod").broker.container] = before

        broker, conf, labels = self.deployed(program.run("prod"))

        assert conf == render_conf(broker)
        assert labels["sentient-mqtt.configuration"] == before
        assert "sentient-mqtt.reserved" not in labels


def test_a_change_that_was_withdrawn_on_the_host_is_applied_again(program):
    """Otherwise Pulumi would see no difference to its state, which has the previous files."""
    files = program.run("prod").engine.inputs_of("configuration-files")["environment"]
    assert "withdrawn" not in files
    program.host_facts["known", ":rules"] = "withdrawn-1000"

    files = program.run("prod").engine.inputs_of("configuration-files")["environment"]
    assert files["withdrawn"] == "withdrawn-1000"


def test_a_preview_without_the_host_repeats_the_revision_of_the_last_deployment(
    program, monkeypatch
):
    name = "firewall-rules-mosquitto-shared"
    monkeypatch.setenv(host_probe.SKIP, "skip")
    environment = {"rules.v4": "*mangle", "rules.v6": "*mangle", "revision": "7"}
    program.engine.last_deployment = {
        f"urn:pulumi:prod::{PROJECT}::{COMMAND}::{name}": {
            "type": COMMAND,
            "outputs": {"environment": environment},
        }
    }

    shown = program.run("prod", preview=True).engine.shown_of(name)

    assert program.probes == []
    assert shown["revision"] == "7"
    assert set(shown) == {"rules.v4", "rules.v6", "revision"}


def test_an_up_probes_the_host_despite_the_variable(program, monkeypatch):
    monkeypatch.setenv(host_probe.SKIP, "skip")

    program.run("prod")

    assert len(program.probes) == 1


def test_prod_writes_its_env_file(program):
    program.run("prod")

    assert program.engine.shown_of("envfiles-/opt/sentient/.env.production") == {
        "/opt/sentient/.env.production": "sentient_api_prod",
        "revision": "1",
    }


def test_env_files_leave_out_users_with_a_password_that_parsers_misread(program):
    config = stack_file("prod")
    for name in ("alike", "misread"):
        config["users"][name] = {"read": ["paragon/a/status/#"], "password": "supplied"}
    config["passwords"] = {"alike": "correct-horse:battery", "misread": "correct horse battery"}
    program.run("prod", config=config, secrets=["passwords"])

    logins = program.output("credentials")
    assert logins["misread"]["password"] == "correct horse battery"
    assert set(logins) - set(program.output("envFiles")) == {"misread"}
    assert "MQTT_PASSWORD=correct-horse:battery\n" in program.output("envFiles")["alike"]


def test_former_ports_are_closed_once_all_that_listens_is_up(program):
    config = stack_file("prod")
    config["broker"]["monitoring"] = {"user": "sentient_monitor_prod"}
    program.run("prod", config=config)

    order = [name for (_, name), args in program.engine.created.items() if args.custom]
    rules, left = (f"firewall-{kind}-mosquitto-shared" for kind in ("rules", "left"))
    positions = [order.index(name) for name in (rules, "broker", "broker-ready", left)]
    assert positions == sorted(positions)
    assert order.index("monitoring-exporter") < order.index(left)


def test_docker_and_commands_use_the_same_ssh_options(program):
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


def test_a_fallback_image_is_deployed_and_reported(program):
    fallback_image = "localhost/mosquitto-from-debian:2.0.21-trixie"
    program.host_facts[("image", "eclipse-mosquitto:2.0.22")] = "absent"
    program.host_facts[("standin", "localhost/mosquitto-from-debian:*-trixie")] = fallback_image

    program.run("dev")

    assert program.engine.inputs_of("image")["name"] == fallback_image
    assert program.output("image") == fallback_image
    assert fallback_image in program.output("readme")


def test_prod_never_uses_a_fallback_image(program):
    program.host_facts[("image", "eclipse-mosquitto:2.0.22")] = "absent"
    program.host_facts[("standin", "localhost/mosquitto-from-debian:*-trixie")] = "localhost/x:1"

    program.run("prod")

    assert program.output("image") == "eclipse-mosquitto:2.0.22"


def test_a_fleet_has_one_secret_seed_and_no_resource_per_member(program):
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
    ("change", "message"),
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
def test_an_invalid_stack_file_is_an_error_before_the_probe_and_any_resource(
    program, change, message
):
    config = stack_file("prod")
    change(config)

    with pytest.raises(pulumi.RunError) as error:
        program.run("prod", config=config)

    (line,) = str(error.value).splitlines()
    assert message in line
    assert program.probes == []
    assert not [name for typ, name in program.engine.created if typ != "pulumi:pulumi:Stack"]


PASSPHRASE = "correct horse battery"


def with_external_password():
    config = stack_file("prod")
    config["users"]["lamp"] = {"read": ["paragon/+/status/#"], "password": "supplied"}
    return config | {"passwords": {"lamp": PASSPHRASE}}


def test_a_password_in_clear_is_an_error_before_the_probe(program):
    program.run("prod", config=with_external_password(), secrets=["passwords"])
    assert program.probes
    program.probes.clear()

    with pytest.raises(pulumi.RunError) as error:
        program.run("prod", config=with_external_password())

    line, fix = str(error.value).splitlines()
    assert line.startswith("sentient-mqtt:passwords.lamp: is in plain text")
    assert "pulumi config set --secret" in fix
    assert PASSPHRASE not in line + fix
    assert program.probes == []
    assert program.engine.of_type(PASSWORD) == {}


@pytest.mark.parametrize(("door", "fails"), [({"secure": "v1:a"}, False), (PASSPHRASE, True)])
def test_a_password_in_clear_beside_an_encrypted_one_is_found_in_the_stack_file(
    program, monkeypatch, tmp_path, door, fails
):
    """Pulumi marks the whole object as secret."""
    passwords = {"lamp": {"secure": "v1:a"}, "door": door}
    text = yaml.safe_dump({"config": {"sentient-mqtt:passwords": passwords}})
    (tmp_path / "Pulumi.prod.yaml").write_text(text)
    monkeypatch.setattr(stack_config, "PROJECT_FOLDER", tmp_path)

    with (
        pytest.raises(pulumi.RunError, match=r"passwords\.door: is in plain text")
        if fails
        else nullcontext()
    ):
        program.run("prod", config=with_external_password(), secrets=["passwords"])
    assert (program.probes == []) is fails


def test_an_unusable_host_is_an_error_before_any_resource(program):
    program.host_facts[("docker", "-")] = "absent"

    with pytest.raises(pulumi.RunError, match="the docker command is missing"):
        program.run("prod")

    assert program.engine.of_type(PASSWORD) == {}


def test_an_empty_stack_file_leads_to_an_error_per_required_key(program):
    with pytest.raises(pulumi.RunError) as error:
        program.run("dev", config={})

    assert str(error.value).splitlines() == [
        "sentient-mqtt:broker: is required and missing.",
        "  Fix: Add it to the stack file.",
        "sentient-mqtt:users: is required and missing.",
        "  Fix: Add it to the stack file.",
    ]


def test_a_value_that_is_not_json_is_an_error(program):
    """`pulumi config set broker x` stores plain text."""
    program.engine.start(stack="dev")
    set_all_config({f"{PROJECT}:broker": "x", f"{PROJECT}:users": json.dumps({"a": {}})})

    with pytest.raises(pulumi.RunError, match=r"sentient-mqtt:broker: 'x': must be a mapping"):
        program.engine.run(lambda: runpy.run_path(str(ROOT / "__main__.py")) and None)
