"""`./brokerctl adopt`: it writes a stack file and a secret, or nothing after a failure."""

import json

import pytest

import cli.pulumi
import cli.setup.adopt
from bootstrap.pulumi_backend import NoBackend
from broker.credentials.password_hashes import hash_password
from broker.mosquitto.mosquitto_conf import FIRST_LINE
from cli.errors import CommandError
from cli.stack import Stack

HASH = hash_password("s3cret", bytes(12), 101)
CONF = """\
listener 1883
password_file /mosquitto/config/mosquitto_passwd
acl_file /mosquitto/config/mosquitto.acl
include_dir /mosquitto/config/conf.d
connection far
address far.example.org
"""


@pytest.fixture
def site(tmp_path):
    """A configuration folder as the manual setup guide creates it."""
    folder = tmp_path / "site" / "config"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "mosquitto.conf").write_text(CONF)
    (folder / "mosquitto_passwd").write_text(f"sensor:{HASH}\n")
    (folder / "mosquitto.acl").write_bytes(b"user sensor\r\ntopic write paragon/#\r\n")
    (folder / "conf.d" / "limits.conf").write_text("max_queued_messages 77\n")
    (folder / "ca.crt").write_bytes(b"\xff\xfe not text")
    return folder


@pytest.fixture
def adopt(desk, site, monkeypatch):
    """The command, for the stack 'test' and that folder, with a pulumi that keeps its stdin."""
    desk.file.unlink()
    monkeypatch.setattr(cli.setup.adopt, "ROOT", desk.folder)
    desk.stdin = desk.folder / "stdin"
    desk.pulumi(f'case "$*" in *"config set"*) cat >"{desk.stdin}" ;; esac')

    def run(*words, folder=site):
        where = ("--from", str(folder)) if folder else ()
        desk.run("adopt", *where, "--address", "192.168.2.3", *words)

    return run


def test_the_stack_file_has_the_settings_of_the_broker(desk, adopt, site):
    adopt()

    settings = Stack.read("test").settings
    assert settings.users["sensor"].write == ("paragon/#",)
    assert settings.users["sensor"].password == "adopted"
    assert settings.broker.address == "192.168.2.3"
    assert settings.broker.folders.config == str(site)
    assert settings.broker.folders.data == str(site.parent / "data")
    assert settings.broker.limits.max_queued_messages == 77


def test_hashes_are_passed_on_stdin_only(desk, adopt, capfd):
    adopt()

    assert desk.calls() == [
        "stack select --create test",
        "config set --stack test --secret sentient-mqtt:hashes",
    ]
    assert json.loads(desk.stdin.read_text()) == {"sensor": HASH}
    assert HASH not in desk.file.read_text() + "".join(capfd.readouterr())


def test_the_output_ends_with_the_next_steps(adopt, site, capsys):
    adopt("--container", "broker-2", "--data", "/srv/data", "--log", "/srv/log")

    out = capsys.readouterr().out
    assert out.startswith("Pulumi.test.yaml: 1 user with its present password: sensor\n")
    assert "\n  mosquitto.conf:5: 'connection far': a bridge, with line 6, is not" in out
    assert "broker.folders.data: " not in out
    assert "broker.container: " not in out
    assert f"\n  keep a copy of {site}: its files are rewritten\n" in out
    assert out.endswith("  ./brokerctl up --stack test\n")
    assert Stack.read("test").settings.broker.container == "broker-2"


def test_conf_names_the_file_instead_of_its_folder(adopt, site):
    (site / "mosquitto.conf").rename(site / "other.conf")

    adopt("--conf", str(site / "other.conf"), folder=None)

    assert Stack.read("test").settings.broker.files.conf == "other.conf"


def test_the_folder_may_be_a_relative_path(adopt, site, monkeypatch):
    monkeypatch.chdir(site.parent)

    adopt(folder="config/")

    assert Stack.read("test").settings.broker.folders.config == str(site)


def test_user_with_a_password_in_plain_text_gets_a_generated_one(desk, adopt, site, capsys):
    (site / "mosquitto_passwd").write_text(f"sensor:hunter2\nann:{HASH}\nbob:{HASH}\n")

    adopt()

    assert json.loads(desk.stdin.read_text()) == {"ann": HASH, "bob": HASH}
    assert Stack.read("test").settings.users["sensor"].password == "generated"
    out = "".join(capsys.readouterr())
    assert "Pulumi.test.yaml: 2 users with their present password: ann, bob\n" in out
    assert "Pulumi.test.yaml: 1 user with a generated password: sensor\n" in out
    assert "hunter2" not in out


def test_the_image_is_adopted(adopt):
    adopt("--image", "eclipse-mosquitto:2.1.2")

    assert Stack.read("test").settings.broker.image == "eclipse-mosquitto:2.1.2"


def test_latin_1_in_a_comment_is_accepted(adopt, site, capsys):
    (site / "mosquitto.acl").write_bytes(b"# caf\xe9\nuser sensor\ntopic write paragon/#\n")

    adopt()

    assert Stack.read("test").settings.users["sensor"].write == ("paragon/#",)
    assert "comments are not adopted" in capsys.readouterr().out


def test_path_of_a_file_below_the_folder_is_followed(adopt, site, capsys):
    deep = site / "acl" / "of" / "this"
    deep.mkdir(parents=True)
    (deep / "mosquitto.acl").write_text("user sensor\ntopic read new\n")
    conf = CONF.replace("config/mosquitto.acl", "config/acl/of/this/mosquitto.acl")
    (site / "mosquitto.conf").write_text(conf)

    adopt()

    assert Stack.read("test").settings.users["sensor"].read == ("new",)
    out = capsys.readouterr().out
    assert "read from 'acl/of/this/mosquitto.acl', not from 'mosquitto.acl'" in out


def test_a_broker_of_this_program_is_taken_over(adopt, site, capsys):
    """Its state is lost: there is no other broker to stop before the first `up`."""
    (site / "mosquitto.conf").write_text(f"{FIRST_LINE}\n{CONF}")

    adopt("--json")

    assert json.loads(capsys.readouterr().out)["next"] == [
        f"keep a copy of {site}: its files are rewritten",
        "./brokerctl up --stack test --take-over",
    ]


class TestNothingIsWritten:
    @pytest.fixture(autouse=True)
    def _nothing(self, desk):
        yield
        assert not desk.file.exists()
        assert "config set" not in "".join(desk.calls())

    def test_if_files_have_errors(self, adopt, site):
        (site / "mosquitto_passwd").write_text(f"sensor:{HASH[:-4]}\nann:\n")

        with pytest.raises(
            CommandError, match=r"^nothing was written\. Fix this first:\n"
        ) as error:
            adopt()
        assert "\nmosquitto_passwd:1: 'sensor': " in str(error.value)
        assert "\nmosquitto_passwd:2: 'ann': has no password" in str(error.value)
        assert HASH[:-4] not in str(error.value)

    @pytest.mark.parametrize(
        ("words", "folder", "why"),
        [
            ((), None, "give --from FOLDER"),
            (("--conf", "x"), "y", "give --from FOLDER"),
            ((), "/nowhere/at/all", "mosquitto.conf: there is no such file"),
            (("--stack", "a/b"), "/x", "--stack a/b: a name is"),
            (("--image", "mosquitto:latest"), "/x", "--image mosquitto:latest: 'latest' changes"),
        ],
    )
    def test_if_an_option_is_wrong(self, adopt, words, folder, why):
        with pytest.raises(CommandError, match=why):
            adopt(*words, folder=folder)

    def test_without_an_address(self, adopt):
        with pytest.raises(CommandError, match=r"^--address is missing"):
            adopt("--address", "")

    def test_with_a_wrong_address(self, adopt):
        with pytest.raises(CommandError, match=r"sentient-mqtt:broker.address: 'mqtt://x': "):
            adopt("--address", "mqtt://x")

    def test_if_a_path_is_not_text(self, adopt, site):
        (site / "mosquitto.conf").write_bytes(CONF.encode() + b"pid_file /run/caf\xe9\n")

        with pytest.raises(CommandError, match=r"mosquitto.conf:7: 'pid_file': is not UTF-8"):
            adopt()

    def test_if_a_file_may_not_be_read(self, adopt, monkeypatch):
        def refuse(self):
            raise PermissionError

        monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
        with pytest.raises(
            CommandError, match=r"may not be read; run this as its owner, or on a copy"
        ):
            adopt()

    def test_without_a_state_backend(self, adopt, monkeypatch):
        def none(*_):
            raise NoBackend("no state backend is configured")

        monkeypatch.setattr(cli.pulumi, "ensure_backend", none)
        with pytest.raises(NoBackend):
            adopt()


def test_an_existing_stack_file_is_not_changed(desk, adopt):
    desk.file.write_text("mine\n")

    with pytest.raises(
        CommandError, match=r"Pulumi\.test\.yaml already exists and is left unchanged"
    ):
        adopt()
    assert desk.file.read_text() == "mine\n"
    assert desk.calls() == []


@pytest.mark.parametrize("failing", ["stack select", "config set"])
def test_after_a_failure_of_pulumi_no_file_remains(desk, adopt, failing):
    desk.pulumi(f'case "$*" in *"{failing}"*) echo "error: no" >&2; exit 1 ;; esac')

    with pytest.raises(CommandError, match="error: no") as error:
        adopt()
    assert not desk.file.exists()
    assert HASH not in str(error.value)
