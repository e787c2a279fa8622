"""Every command of README, tutorial and reference, typed in a clone of the repository."""

import re
import ssl
import time

import pytest
import yaml
from mqtt import Client, Refused, login_error
from newcomer import Newcomer
from ports import free_port
from site_under_test import ROOT

from broker.credentials.password_hashes import hash_password

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
ADD_A_USER = (DOCS / "how-to" / "add-a-user.md").read_text(encoding="utf-8")
RAW_COMMANDS = (DOCS / "reference" / "manual-commands.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
TUTORIAL = (DOCS / "tutorial" / "first-broker.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def newcomer(make_site, docker):  # make_site has engine and image ready
    site = make_site("newcomer")
    newcomer = Newcomer(site.folder / "newcomer", site.ports)
    yield newcomer
    docker("rm", "--force", "--volumes", newcomer.container, check=False)


def test_first_up_prints_a_command_that_receives_messages(newcomer):
    output = newcomer.types("./brokerctl up")

    assert "The broker is up" in output
    listen = re.search(r"^Listen:\n  (.*)$", output, re.MULTILINE)
    assert listen is not None
    # As printed, except that it has no terminal and ends after one message.
    line = listen[1].replace("docker exec -it", "docker exec").replace(" -v", " -v -C 1 -W 20")
    publish = line.replace("mosquitto_sub", "mosquitto_pub").replace(
        " -t '#' -v -C 1 -W 20", " -t paragon/clockwork/status/door -m open -r"
    )
    newcomer.types(publish)
    assert "paragon/clockwork/status/door open" in newcomer.types(line)


def test_second_up_changes_neither_the_broker_nor_the_clone(newcomer):
    before = (newcomer.clone / "Pulumi.dev.yaml").read_text(encoding="utf-8")

    assert "Unchanged: the stack file, the program, the state and" in newcomer.types(
        "./brokerctl up"
    )
    output = newcomer.types("./brokerctl up --force")

    assert re.search(r"\d+ unchanged", output)
    assert not re.search(r"(created|updated|replaced|deleted)$", output, re.MULTILINE)
    assert (newcomer.clone / "Pulumi.dev.yaml").read_text(encoding="utf-8") == before


def test_misspelt_key_is_one_error(newcomer):
    newcomer.edit('read: ["paragon/+/commands/#"]', 'reed: ["paragon/+/commands/#"]')
    try:
        output = newcomer.types("./brokerctl up", fails=True)
    finally:
        newcomer.edit('reed: ["paragon/+/commands/#"]', 'read: ["paragon/+/commands/#"]')

    assert "sentient-mqtt:users.paragon_devices.reed: unknown key. Did you mean 'read'?" in output
    assert "Traceback" not in output


def test_everyday_commands_work(newcomer):
    assert "admin" in newcomer.types("./brokerctl who-can write paragon/clockwork/commands/door")
    assert "no rule grants it" in newcomer.types(
        "./brokerctl explain paragon_devices paragon/clockwork/commands/door"
    )
    assert "held" in newcomer.types("./brokerctl expect")
    assert "127.0.0.1: this host only" in newcomer.types("./brokerctl firewall")
    assert re.search("health (healthy|starting)", newcomer.types("./brokerctl status"))
    newcomer.types("./brokerctl publish admin paragon/clockwork/commands/door open --retain")
    newcomer.types(f"docker stop {newcomer.container}")
    newcomer.types("./brokerctl restart")
    watched = newcomer.types("./brokerctl watch admin 'paragon/+/commands/#' --count 1")
    assert "paragon/clockwork/commands/door open" in watched
    # The command for the door, and the door's status if the first test ran.
    assert re.search(
        r"It holds [12] retained messages", newcomer.types("./brokerctl backup create")
    )
    assert "complete" in newcomer.types("./brokerctl backup verify")
    assert "the answer was not yes" in newcomer.types(
        "./brokerctl backup restore latest", fails=True
    )
    assert "Restored" in newcomer.types("./brokerctl backup restore latest --yes")
    assert "mosquitto version" in newcomer.types("./brokerctl logs")
    assert "admin (user), as " in newcomer.types("./brokerctl inventory")
    assert '"declared"' in newcomer.types("./brokerctl inventory --json")
    assert "refused logins since" in newcomer.types("./brokerctl refused --since 24h")
    began = time.monotonic()
    assert "Nothing differs on" in newcomer.types("./brokerctl drift")
    assert "FAIL" not in newcomer.types("./brokerctl check --out page.md")
    print(f"\n./brokerctl check, from start to end: {time.monotonic() - began:.1f} s")
    assert "Run the deployment checklist" in newcomer.types("./brokerctl --help")
    assert '"verdict": "pass"' in newcomer.types("./brokerctl check --json")
    (newcomer.clone / "page.md").unlink()
    newcomer.types("./brokerctl map")
    assert (newcomer.clone / "access" / "map.svg").exists()


def test_equivalent_raw_commands_work(newcomer):
    """As documented, except for container and port, and with an end for subscriptions."""
    section = RAW_COMMANDS.partition("## Equivalent raw commands\n")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    outputs = {}
    for line in block.splitlines():
        command = line.replace("mosquitto-dev", newcomer.container)
        command = command.replace("-p 1883", f"-p {newcomer.ports[0]}")
        command = command.replace(" -v", " -v -C 1 -W 20")
        # The broker may still be starting after `docker restart`.
        if line.startswith("mosquitto_pub"):
            command = f"for n in $(seq 40); do {command} && exit; sleep 0.25; done; exit 1"
        outputs[line] = newcomer.types(command)
    assert [line for line in outputs if line.startswith("docker restart")]
    assert list(outputs.values())[-1] == "open\n"


def test_outputs_show_secrets_only_with_the_option(newcomer):
    assert "[secret]" in newcomer.types("./brokerctl outputs")
    password = newcomer.types("./brokerctl password admin").strip()
    assert password not in newcomer.types("./brokerctl outputs")
    assert password in newcomer.types("./brokerctl outputs --show-secrets")


def test_user_is_added_as_documented(newcomer):
    """The user is removed from the file at the end; the test of TLS applies that."""
    file = newcomer.clone / "Pulumi.dev.yaml"
    before = file.read_text(encoding="utf-8")
    block = re.search(r"```yaml\n  sentient-mqtt:users:\n(.*?)```", ADD_A_USER, re.DOTALL)
    assert block is not None
    newcomer.edit("  sentient-mqtt:users:\n", f"  sentient-mqtt:users:\n{block[1]}")
    assert "room_display" in newcomer.types("./brokerctl up")
    login = newcomer.types("./brokerctl credentials room_display")
    assert "MQTT_USERNAME=room_display" in login
    assert newcomer.types("./brokerctl password room_display").strip() in login
    assert "#define MQTT_USERNAME" in newcomer.types(
        "./brokerctl credentials room_display --format header"
    )

    newcomer.types("./brokerctl credentials --all logins")
    modes = {oct(path.stat().st_mode) for path in (newcomer.clone / "logins").iterdir()}
    assert modes == {"0o100600"}
    assert "widened" not in newcomer.types("./brokerctl diff --base main")
    assert "added" in newcomer.types("./brokerctl diff --base main --fail-on added", fails=True)

    file.write_text(before, encoding="utf-8")


def test_rotation_with_overlap_of_a_fleet_member_and_of_a_supplied_password(newcomer):
    """The stack file is restored at the end; the test of TLS applies that."""
    file = newcomer.clone / "Pulumi.dev.yaml"
    before = file.read_text(encoding="utf-8")
    newcomer.edit(
        "  sentient-mqtt:users:\n",
        "  sentient-mqtt:fleets:\n"
        "    teensy: {count: 40, prefix: teensy-, write: ['paragon/%u/sensors/#']}\n"
        "  sentient-mqtt:users:\n"
        "    room_display: {read: ['paragon/+/status/#'], rotation: overlap}\n",
    )
    newcomer.types("./brokerctl up")
    first = newcomer.types("./brokerctl credentials room_display")
    assert "MQTT_USERNAME=room_display\n" in first
    assert "Nobody is disconnected." in newcomer.types("./brokerctl rotate room_display")
    second = newcomer.types("./brokerctl credentials room_display")
    assert "MQTT_USERNAME=room_display-green\n" in second
    output = newcomer.types("./brokerctl rotate room_display --revoke-previous")
    assert "disconnected:\n  room_display\n" in output
    assert newcomer.types("./brokerctl credentials room_display") == second
    assert "has no rotation 'overlap'" in newcomer.types(
        "./brokerctl rotate admin --revoke-previous", fails=True
    )

    seventh = newcomer.types("./brokerctl credentials teensy-007")
    eighth = newcomer.types("./brokerctl credentials teensy-008")
    assert "disconnected:\n  teensy-007\n" in newcomer.types("./brokerctl rotate teensy-007")
    assert newcomer.types("./brokerctl credentials teensy-007") != seventh
    assert newcomer.types("./brokerctl credentials teensy-008") == eighth

    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["config"]["sentient-mqtt:users"]["room_display"] = {"password": "supplied"}
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    newcomer.types(
        'eval "$(./brokerctl env)"; echo "a password of our own" | '
        "pulumi config set --secret --path 'sentient-mqtt:passwords[\"room_display\"]'"
    )
    newcomer.types("./brokerctl up")
    assert newcomer.types("./brokerctl password room_display") == "a password of our own\n"
    assert "is supplied" in newcomer.types("./brokerctl rotate room_display", fails=True)

    file.write_text(before, encoding="utf-8")


def test_tls_with_a_client_certificate_as_login(newcomer):
    """The stack file is restored at the end; the test of `down` applies that."""
    file = newcomer.clone / "Pulumi.dev.yaml"
    before = file.read_text(encoding="utf-8")
    port = free_port()
    tls = "{clientCertificates: required, identityAsUsername: true}"
    newcomer.edit(
        "    listeners:\n",
        f"    listeners:\n      mqtts: {{port: {port}, bindAddress: 127.0.0.1, tls: {tls}}}\n",
    )
    assert "run ./brokerctl up first" in newcomer.types("./brokerctl certificate admin", fails=True)
    newcomer.types("./brokerctl up")
    assert "no such user" in newcomer.types("./brokerctl credentials room_display", fails=True)
    newcomer.types("./brokerctl certificate admin")

    folder = newcomer.clone / "certificates"
    assert oct((folder / "admin.key").stat().st_mode) == "0o100600"
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    with pytest.raises((ssl.SSLError, ConnectionError, Refused)):
        Client(port, "admin", "a guess", tls=context)
    context.load_cert_chain(folder / "admin.pem", folder / "admin.key")
    with Client(port, tls=context) as admin:
        admin.subscribe("paragon/#")
        assert admin.publish("paragon/clockwork/status/x", "by name") == "Success"
    ca = newcomer.types('eval "$(./brokerctl env)"; pulumi stack output certificates --json')
    assert "BEGIN CERTIFICATE" in ca
    assert "PRIVATE" not in ca

    file.write_text(before, encoding="utf-8")


def test_plain_pulumi_works_with_the_environment_of_brokerctl_env(newcomer):
    output = newcomer.types('eval "$(./brokerctl env)"; pulumi preview; pulumi stack output')

    assert "unchanged" in output
    newcomer.edit("encryptionsalt:", "# encryptionsalt:")


def test_adopted_broker_keeps_its_passwords(newcomer):
    folder = newcomer.clone.parent / "by-hand" / "config"
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npersistence true\n"
        "password_file /mosquitto/config/passwd\nacl_file /mosquitto/config/acl\n"
        "connection office\naddress 10.0.0.1\n"
    )
    known = hash_password("in use for years", bytes(range(12)), 101)
    (folder / "passwd").write_text(f"# by hand\ndevice:{known}\n")
    (folder / "acl").write_text("user device\r\ntopic write paragon/+/sensors/#\r\n")
    state = newcomer.clone.parent / "by-hand" / "state"
    state.mkdir()
    (state / "passphrase").write_text("of this test\n")
    environment = (
        f"export PULUMI_BACKEND_URL=file://{state}; "
        f"export PULUMI_CONFIG_PASSPHRASE_FILE={state}/passphrase; "
    )
    container = f"{newcomer.container}-by-hand"
    line = (
        f"./brokerctl adopt --stack site --from {folder} --address 127.0.0.1 "
        f"--container {container}"
    )

    output = newcomer.types(environment + line)

    assert "1 user with its present password: device" in output
    assert "connection office" in output
    file = newcomer.clone / "Pulumi.site.yaml"
    assert known not in file.read_text(encoding="utf-8")
    assert "already exists and is left unchanged" in newcomer.types(environment + line, fails=True)
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("sentient-mqtt:broker:\n", "sentient-mqtt:broker:\n    allowStandIn: true\n")
    )
    newcomer.types(f"{environment}./brokerctl up --stack site --yes")
    try:
        Client(port, "device", "in use for years").close()
        assert login_error(port, "device", "another") == "Not authorized"
        assert "only its clients know" in newcomer.types(
            f"{environment}./brokerctl credentials device --stack site", fails=True
        )
        newcomer.types(f"{environment}./brokerctl rotate device --stack site --yes")
        assert login_error(port, "device", "in use for years") == "Not authorized"
        password = newcomer.types(f"{environment}./brokerctl password device --stack site").strip()
        Client(port, "device", password).close()
    finally:
        down = "./brokerctl down --stack site --confirm site --delete-passwords"
        output = newcomer.types(f"{environment}{down}")
    data = folder.parent / "data"
    assert f"Kept: {data} and " in output
    assert (data / "mosquitto.db").exists()


def test_down_keeps_data_and_passwords_without_the_options_that_delete_them(newcomer):
    data = newcomer.clone.parent / "site" / "data"
    password = newcomer.types("./brokerctl password admin")

    output = newcomer.types("./brokerctl down")
    assert "Kept: every password" in output
    assert str(data) in output
    assert (data / "mosquitto.db").exists()

    newcomer.types("./brokerctl up")
    assert newcomer.types("./brokerctl password admin") == password
    newcomer.types("./brokerctl down --delete-passwords --delete-data")
    assert not data.exists()


def test_production_without_a_configured_backend_is_an_error(newcomer):
    output = newcomer.types("./brokerctl up --stack prod", fails=True)

    assert "--stack prod: no state backend is configured" in output


def test_tutorial_works_as_written(newcomer):
    """Without a broker at its start. The edits between the blocks are made by this test."""
    blocks = [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", TUTORIAL, re.DOTALL)]
    user = re.search(r"```yaml\n  sentient-mqtt:users:\n(.*?)```", TUTORIAL, re.DOTALL)
    assert user is not None
    refused = ("./brokerctl publish room_display", "docker exec mosquitto-dev mosquitto_pub")
    outputs = {}
    for number, block in enumerate(blocks):
        if number == 2:
            newcomer.edit("  sentient-mqtt:users:\n", f"  sentient-mqtt:users:\n{user[1]}")
        if number == len(blocks) - 2:
            newcomer.edit(user[1], "")
        for line in block:
            command = line.replace("mosquitto-dev", newcomer.container)
            command = command.replace("-p 1883", f"-p {newcomer.ports[0]}")
            # The result of the check is not tested here.
            command += " || :" if line == "./brokerctl check" else ""
            outputs[number, line] = newcomer.types(command, fails=line.startswith(refused))

    by_line = {line: output for (_, line), output in outputs.items()}
    assert "+ topic read paragon/+/status/#" in by_line["./brokerctl preview"]
    assert "A reload, no restart. Nobody is disconnected." in by_line["./brokerctl preview"]
    assert "MQTT_USERNAME=room_display" in by_line["./brokerctl credentials room_display"]
    received = "./brokerctl watch room_display 'paragon/+/status/#' --count 1"
    assert "paragon/clockwork/status/door open" in by_line[received]
    denied = "./brokerctl publish room_display paragon/clockwork/commands/door open"
    assert "the broker did not accept it: Not authorized" in by_line[denied]
    asked = "./brokerctl explain room_display paragon/clockwork/commands/door"
    assert "no rule grants it" in by_line[asked]
    wrong = next(line for line in by_line if line.startswith("docker exec"))
    assert "not authori" in by_line[wrong]
    assert len(outputs) == sum(map(len, blocks))


def test_every_documented_command_was_typed(newcomer):
    """Compared by name: `./brokerctl up --stack prod` differs in the stack file only."""
    newcomer.types("./brokerctl version")
    calls = r"(?:\./brokerctl|make) ((?:backup )?[a-z][a-z-]*)"
    pages = README + TUTORIAL + REFERENCE
    commands = {*re.findall(rf"(?:^|[`(]){calls}", pages, re.MULTILINE)} - {"test", "docs"}
    typed = {command for line in newcomer.typed for command in re.findall(calls, line)}

    assert len(commands) > 25
    assert commands <= typed
