"""Every command of README, tutorial and reference, typed by a newcomer in a clone of their own."""

import os
import re
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from mqtt import Client, Refused, refusal
from ports import free_port

from broker.credentials.password_hashes import hash_password

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
ADD_A_USER = (DOCS / "how-to" / "add-a-user.md").read_text(encoding="utf-8")
RAW_COMMANDS = (DOCS / "reference" / "manual-commands.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
TUTORIAL = (DOCS / "tutorial" / "first-broker.md").read_text(encoding="utf-8")


class Newcomer:
    """Someone with a clone, a home of their own, and the README."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.clone, self.home = folder / "clone", folder / "home"
        self.ports = ports
        self.clone.mkdir(parents=True)
        self.home.mkdir()
        self.typed: list[str] = []
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.clone / name)
        # What it holds is checked by its own mark: nothing is installed a second time.
        (self.clone / ".venv").symlink_to(Path(sys.prefix))
        file = self.clone / "Pulumi.dev.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in (
            ("mosquitto-dev", self.container),
            ("/var/lib/sentient-mqtt/dev", str(folder / "site")),
            ("port: 1883", f"port: {ports[0]}"),
            ("port: 9001", f"port: {ports[1]}"),
        ):
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        git = ("git", "-C", str(self.clone), "-c", "user.name=n", "-c", "user.email=n@example.org")
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "clone")):
            subprocess.run([*git, *words], check=True)

    container = f"e2e-newcomer-{secrets.token_hex(4)}"

    def types(self, line: str, *, fails: bool = False) -> str:
        self.typed.append(line)
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.clone,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(Path.home()),
                "XDG_STATE_HOME": str(self.home / "state"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def edit(self, old: str, new: str) -> None:
        file = self.clone / "Pulumi.dev.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def newcomer(make_site, docker):  # make_site: the engine and image are there
    site = make_site("newcomer")
    someone = Newcomer(site.folder / "newcomer", site.ports)
    yield someone
    docker("rm", "--force", "--volumes", someone.container, check=False)


def test_a_newcomer_gets_a_broker_and_a_line_that_listens(newcomer):
    said = newcomer.types("./brokerctl up")

    assert "The broker is up" in said
    listen = re.search(r"^Listen:\n  (.*)$", said, re.MULTILINE)
    assert listen is not None
    # As printed, but for a terminal, and for one message.
    line = listen[1].replace("docker exec -it", "docker exec").replace(" -v", " -v -C 1 -W 20")
    publish = line.replace("mosquitto_sub", "mosquitto_pub").replace(
        " -t '#' -v -C 1 -W 20", " -t paragon/clockwork/status/door -m open -r"
    )
    newcomer.types(publish)
    assert "paragon/clockwork/status/door open" in newcomer.types(line)


def test_up_again_changes_nothing_and_leaves_the_clone_as_it_was(newcomer):
    before = (newcomer.clone / "Pulumi.dev.yaml").read_text(encoding="utf-8")

    said = newcomer.types("./brokerctl up")

    assert re.search(r"\d+ unchanged", said)
    assert not re.search(r"(created|updated|replaced|deleted)$", said, re.MULTILINE)
    assert (newcomer.clone / "Pulumi.dev.yaml").read_text(encoding="utf-8") == before


def test_a_mistake_is_told_in_one_line_and_nothing_happens(newcomer):
    newcomer.edit('read: ["paragon/+/commands/#"]', 'reed: ["paragon/+/commands/#"]')
    try:
        said = newcomer.types("./brokerctl up", fails=True)
    finally:
        newcomer.edit('reed: ["paragon/+/commands/#"]', 'read: ["paragon/+/commands/#"]')

    assert "sentient-mqtt:users.paragon_devices.reed: unknown key. Did you mean 'read'?" in said
    assert "Traceback" not in said


def test_a_user_is_added_rotated_and_removed_as_the_page_says(newcomer):
    block = re.search(r"```yaml\n  sentient-mqtt:users:\n(.*?)```", ADD_A_USER, re.DOTALL)
    assert block is not None
    newcomer.edit("  sentient-mqtt:users:\n", f"  sentient-mqtt:users:\n{block[1]}")
    preview = newcomer.types("./brokerctl preview")
    assert "+ topic read paragon/+/status/#" in preview
    assert "room_display" in newcomer.types("./brokerctl up")
    first = newcomer.types("./brokerctl credentials room_display")
    assert "MQTT_USERNAME=room_display" in first

    newcomer.types("./brokerctl rotate room_display")
    second = newcomer.types("./brokerctl credentials room_display")
    assert first.split("MQTT_PASSWORD=")[1] not in second
    assert newcomer.types("./brokerctl password room_display").strip() in second
    assert "#define MQTT_USERNAME" in newcomer.types(
        "./brokerctl credentials room_display --format header"
    )

    newcomer.types("./brokerctl credentials --all logins")
    modes = {oct(each.stat().st_mode) for each in (newcomer.clone / "logins").iterdir()}
    assert modes == {"0o100600"}
    assert "widened" not in newcomer.types("./brokerctl diff --base main")
    assert "added" in newcomer.types("./brokerctl diff --base main --fail-on added", fails=True)

    text = (newcomer.clone / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    newcomer.edit(text[text.index("    room_display:\n") : text.index("    admin:\n")], "")
    newcomer.types("./brokerctl up")
    assert "no such user" in newcomer.types("./brokerctl credentials room_display", fails=True)


def test_logins_that_overlap_one_controller_and_a_password_of_ones_own(newcomer):
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
    said = newcomer.types("./brokerctl rotate room_display --revoke-previous")
    assert "disconnected:\n  room_display\n" in said
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
    newcomer.types("./brokerctl up")


def test_questions_about_access_are_answered(newcomer):
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
    # The door's, and its status of the first test where that was run, too.
    assert re.search(
        r"It holds [12] retained messages", newcomer.types("./brokerctl backup create")
    )
    assert "whole" in newcomer.types("./brokerctl backup verify")
    assert "the answer was not yes" in newcomer.types(
        "./brokerctl backup restore latest", fails=True
    )
    assert "Restored" in newcomer.types("./brokerctl backup restore latest --yes")
    assert "mosquitto version" in newcomer.types("./brokerctl logs")
    assert "admin (user), as " in newcomer.types("./brokerctl inventory")
    assert '"declared"' in newcomer.types("./brokerctl inventory --json")
    assert "refused logins since" in newcomer.types("./brokerctl refused --since 24h")
    began = time.monotonic()
    assert "FAIL" not in newcomer.types("./brokerctl check --out page.md")
    print(f"\nmake check, from typing to the last line: {time.monotonic() - began:.1f} s")
    assert "Go through the checklist" in newcomer.types("./brokerctl --help")
    assert '"verdict": "pass"' in newcomer.types("./brokerctl check --json")
    (newcomer.clone / "page.md").unlink()
    newcomer.types("./brokerctl map")
    assert (newcomer.clone / "access" / "map.svg").exists()


def test_raw_commands_work(newcomer):
    """As on the page, except for name and port, and for an end of what would continue."""
    section = RAW_COMMANDS.partition("## Equivalent raw commands\n")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    said = {}
    for line in block.splitlines():
        here = line.replace("mosquitto-dev", newcomer.container)
        here = here.replace("-p 1883", f"-p {newcomer.ports[0]}").replace(" -v", " -v -C 1 -W 20")
        # After a restart it takes a moment.
        if line.startswith("mosquitto_pub"):
            here = f"for n in $(seq 40); do {here} && exit; sleep 0.25; done; exit 1"
        said[line] = newcomer.types(here)
    assert [each for each in said if each.startswith("docker restart")]
    assert list(said.values())[-1] == "open\n"


def test_outputs_show_secrets_only_where_asked(newcomer):
    assert "[secret]" in newcomer.types("./brokerctl outputs")
    password = newcomer.types("./brokerctl password admin").strip()
    assert password not in newcomer.types("./brokerctl outputs")
    assert password in newcomer.types("./brokerctl outputs --show-secrets")


def test_encrypted_with_a_certificate_for_the_broker_and_one_for_a_client(newcomer, tmp_path):
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
    newcomer.types("./brokerctl certificate admin")

    made = newcomer.clone / "certificates"
    assert oct((made / "admin.key").stat().st_mode) == "0o100600"
    context = ssl.create_default_context(cafile=made / "ca.pem")
    with pytest.raises((ssl.SSLError, ConnectionError, Refused)):
        Client(port, "admin", "a guess", tls=context)
    context.load_cert_chain(made / "admin.pem", made / "admin.key")
    with Client(port, tls=context) as admin:
        admin.subscribe("paragon/#")
        assert admin.publish("paragon/clockwork/status/x", "by name") == "Success"
    ca = newcomer.types('eval "$(./brokerctl env)"; pulumi stack output certificates --json')
    assert "BEGIN CERTIFICATE" in ca
    assert "PRIVATE" not in ca

    file.write_text(before, encoding="utf-8")
    newcomer.types("./brokerctl up")


def test_plain_pulumi_works_after_make_env(newcomer):
    said = newcomer.types('eval "$(./brokerctl env)"; pulumi preview; pulumi stack output')

    assert "unchanged" in said
    newcomer.edit("encryptionsalt:", "# encryptionsalt:")


def test_a_site_set_up_by_hand_keeps_its_passwords(newcomer):
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
    own = (
        f"export PULUMI_BACKEND_URL=file://{state}; "
        f"export PULUMI_CONFIG_PASSPHRASE_FILE={state}/passphrase; "
    )
    container = f"{newcomer.container}-by-hand"
    line = (
        f"./brokerctl adopt --stack site --from {folder} --address 127.0.0.1 "
        f"--container {container}"
    )

    said = newcomer.types(own + line)

    assert "1 user with the password that it has: device" in said
    assert "connection office" in said
    file = newcomer.clone / "Pulumi.site.yaml"
    assert known not in file.read_text(encoding="utf-8")
    assert "is there already, and is left as it is" in newcomer.types(own + line, fails=True)
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("sentient-mqtt:broker:\n", "sentient-mqtt:broker:\n    allowStandIn: true\n")
    )
    newcomer.types(f"{own}./brokerctl up --stack site --yes")
    try:
        Client(port, "device", "in use for years").close()
        assert refusal(port, "device", "another") == "Not authorized"
        assert "only its clients know" in newcomer.types(
            f"{own}./brokerctl credentials device --stack site", fails=True
        )
        newcomer.types(f"{own}./brokerctl rotate device --stack site --yes")
        assert refusal(port, "device", "in use for years") == "Not authorized"
        password = newcomer.types(f"{own}./brokerctl password device --stack site").strip()
        Client(port, "device", password).close()
    finally:
        newcomer.types(
            f"{own}./brokerctl down --stack site --confirm site --delete-passwords --delete-data"
        )


def test_down_keeps_the_data_until_asked(newcomer):
    data = newcomer.clone.parent / "site" / "data"

    assert str(data) in newcomer.types("./brokerctl down --delete-passwords")
    assert (data / "mosquitto.db").exists()

    newcomer.types("./brokerctl up")
    known = newcomer.types("./brokerctl password admin")
    assert "Kept: every password" in newcomer.types("./brokerctl down")
    newcomer.types("./brokerctl up")
    assert newcomer.types("./brokerctl password admin") == known
    newcomer.types("./brokerctl down --delete-passwords --delete-data")
    assert not data.exists()


def test_production_needs_a_backend_of_its_owner(newcomer):
    said = newcomer.types("./brokerctl up --stack prod", fails=True)

    assert "--stack prod: no state backend is configured" in said


def test_tutorial_works_as_written(newcomer):
    """On the state of a removed broker. Between its blocks the tutorial is followed by hand."""
    blocks = [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", TUTORIAL, re.DOTALL)]
    user = re.search(r"```yaml\n  sentient-mqtt:users:\n(.*?)```", TUTORIAL, re.DOTALL)
    assert user is not None
    refused = ("./brokerctl publish room_display", "docker exec mosquitto-dev mosquitto_pub")
    said = {}
    for number, block in enumerate(blocks):
        if number == 2:
            newcomer.edit("  sentient-mqtt:users:\n", f"  sentient-mqtt:users:\n{user[1]}")
        if number == len(blocks) - 2:
            newcomer.edit(user[1], "")
        for line in block:
            here = line.replace("mosquitto-dev", newcomer.container)
            here = here.replace("-p 1883", f"-p {newcomer.ports[0]}")
            # What the check says of a broker as young as this is not what is tested here.
            here += " || :" if line == "./brokerctl check" else ""
            said[number, line] = newcomer.types(here, fails=line.startswith(refused))

    spoken = {line: text for (_, line), text in said.items()}
    assert "+ topic read paragon/+/status/#" in spoken["./brokerctl preview"]
    assert "A reload, no restart. Nobody is disconnected." in spoken["./brokerctl preview"]
    assert "MQTT_USERNAME=room_display" in spoken["./brokerctl credentials room_display"]
    received = "./brokerctl watch room_display 'paragon/+/status/#' --count 1"
    assert "paragon/clockwork/status/door open" in spoken[received]
    denied = "./brokerctl publish room_display paragon/clockwork/commands/door open"
    assert "the broker did not take it: Not authorized" in spoken[denied]
    asked = "./brokerctl explain room_display paragon/clockwork/commands/door"
    assert "no rule grants it" in spoken[asked]
    wrong = next(line for line in spoken if line.startswith("docker exec"))
    assert "not authori" in spoken[wrong]
    assert len(said) == sum(map(len, blocks))


def test_no_command_was_left_out(newcomer):
    """Commands by name: `./brokerctl up --stack prod` differs in the stack file alone."""
    newcomer.types("./brokerctl version")
    calls = r"(?:\./brokerctl|make) ((?:backup )?[a-z][a-z-]*)"
    pages = README + TUTORIAL + REFERENCE
    commands = {*re.findall(rf"(?:^|[`(]){calls}", pages, re.MULTILINE)} - {"test", "docs"}
    typed = {command for line in newcomer.typed for command in re.findall(calls, line)}

    assert len(commands) > 25
    assert commands <= typed
