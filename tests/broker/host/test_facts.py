"""One way to the host; what was found there is judged in sentences that say what to do."""

import os
import subprocess
from dataclasses import replace

import pytest

from broker.findings import one_line
from broker.host.facts import HostFacts
from broker.host.requirements import HostRequirements, host_errors
from broker.host.transport import (
    PASSED_ON,
    PROXIES,
    WITHHELD,
    clean_interpreter,
    explain_ssh,
    host_environment,
    transport,
)

UNIX = "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("host", "config", "interpreter", "options"),
    [
        (UNIX, None, ("/bin/sh", "-c"), ()),
        # Nothing to configure: a local shell asks no OpenSSH.
        (UNIX, "/etc/c", ("/bin/sh", "-c"), ()),
        (
            "ssh://sentient@192.168.2.3",
            None,
            (*("ssh", "-T", "-oBatchMode=yes", "-oConnectTimeout=10"), "-l", "sentient"),
            ("-oBatchMode=yes", "-oConnectTimeout=10"),
        ),
        (
            "ssh://site",
            "/etc/c",
            ("ssh", "-T", "-F", "/etc/c", "-oBatchMode=yes", "-oConnectTimeout=10"),
            ("-F", "/etc/c", "-oBatchMode=yes", "-oConnectTimeout=10"),
        ),
        (
            "ssh://a@[fd00::5]:2222",
            None,
            ("ssh", "-T", "-oBatchMode=yes", "-oConnectTimeout=10", "-l", "a", "-p", "2222"),
            ("-oBatchMode=yes", "-oConnectTimeout=10"),
        ),
    ],
)
def test_docker_and_our_commands_take_the_same_way(host, config, interpreter, options):
    way = transport(host, config)

    names = {"ssh://sentient@192.168.2.3": "192.168.2.3", "ssh://site": "site"}
    destination = (names.get(host, "fd00::5"),) if host.startswith("ssh") else ()
    assert way.interpreter == (*interpreter, *destination)
    assert way.ssh_options == options
    assert way.host == host


def test_the_host_sees_its_own_socket_wherever_we_are():
    assert transport("ssh://site").socket == UNIX
    assert transport("unix:///run/user/1000/docker.sock").socket == (
        "unix:///run/user/1000/docker.sock"
    )


def test_words_stay_words_on_the_way():
    way = transport(UNIX)

    done = subprocess.run(
        way.argv(["printf", "%s|", "a b", "$HOME", "it's"]),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "a b|$HOME|it's|"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A PATH on which sudo, ssh and docker say how they were called, and a login of our choice."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def program(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    program("sudo", 'echo "sudo $1"\nshift\nexec "$@"')
    # What OpenSSH does: it joins its words, and the login shell there takes them as one line.
    program("ssh", 'while [ "$1" != site ]; do shift; done\nshift\necho ssh\nexec sh -c "$*"')
    program("docker", 'printf "docker"\nprintf " <%s>" "$@"\necho')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def login(uid):
        program("id", f"echo {uid}")

    login(0)
    return login


SCRIPT = 'echo "ran $1 as $(id -u)"\n'


def run(way, become, image=""):
    line = way.script("apply", become=become, image=image)
    done = subprocess.run(
        [*way.interpreter, line], input=SCRIPT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("host", "before"), [(UNIX, []), ("ssh://site", ["ssh"])])
class TestScript:
    @pytest.mark.parametrize("become", ["sudo", "docker", "nobody"])
    def test_root_becomes_nobody_else(self, host, before, become):
        assert run(transport(host), become, "image:1") == [*before, "ran apply as 0"]

    def test_another_login_asks_sudo_and_never_for_a_password(self, machine, host, before):
        machine(1000)

        assert run(transport(host), "sudo") == [*before, "sudo -n", "ran apply as 1000"]

    def test_or_a_throw_away_container_without_a_network(self, machine, host, before):
        machine(1000)

        *first, call = run(transport(host), "docker", "image:1")

        assert first == before
        assert call == (
            f"docker <-H> <{UNIX}> <run> <--rm> <-i> <--network> <none> <--user> <0:0> "
            "<--volume> </:/host> <--entrypoint> </bin/sh> <image:1> "
            "<-c> <exec chroot /host sh -s apply>"
        )

    def test_a_look_stays_who_it_is(self, machine, host, before):
        machine(1000)

        assert run(transport(host), "nobody") == [*before, "ran apply as 1000"]


def test_the_line_shows_nothing_but_itself():
    """It is all that an error message shows: no path, no user, no text."""
    line = transport("ssh://sentient@192.168.2.3").script("apply", become="sudo")

    assert line.startswith("exec sh -c ")
    assert "sentient" not in line


WANTED = HostRequirements(
    stack="prod",
    container="mosquitto-shared",
    image="eclipse-mosquitto:2.0.22",
    stand_in="",
    ports={"broker.listeners.mqtt.port": 1883},
    folders={"broker.folders.data": "/srv/data"},
    env_files={"broker.envFiles[0].path": "/etc/mqtt.env"},
    become="sudo",
)
WELL = {
    ("login", "-"): "sentient",
    ("root", "-"): "yes",
    ("docker", "-"): "ok",
    ("image", "eclipse-mosquitto:2.0.22"): "present",
    ("container", "mosquitto-shared"): "none",
    ("port", "1883"): "free",
    ("folder", "/srv/data"): "ok",
    ("envfile", "/etc/mqtt.env"): "ok",
}


def told(wanted=WANTED, host=UNIX, **facts):
    seen = HostFacts(facts=WELL | {tuple(key.split(" ")): value for key, value in facts.items()})
    return list(one_line(host_errors(wanted, seen, host)))


def test_a_host_that_will_do_is_no_problem():
    assert told() == []


@pytest.mark.parametrize("owner", ["prod", "none"])
def test_what_is_ours_is_no_problem_either(owner):
    assert told(**{"container mosquitto-shared": owner, "port 1883": "ours"}) == []


@pytest.mark.parametrize(
    ("fact", "value", "begins", "says"),
    [
        ("docker -", "absent", f"host {UNIX}: the docker command is not there.", "apt-get install"),
        ("docker -", "permission denied", f"host {UNIX}: Docker doesn't answer: perm", "usermod"),
        ("root -", "no", f"host {UNIX}: the user 'sentient' is not root", "NOPASSWD: ALL"),
        (
            "container mosquitto-shared",
            "dev",
            "sentient-mqtt:broker.container: 'mosquitto-shared': ",
            "docker rename mosquitto-shared mosquitto-shared-old",
        ),
        (
            "container mosquitto-shared",
            "made by hand",
            "sentient-mqtt:broker.container: ",
            "this stack did not make it (made by hand)",
        ),
        (
            "port 1883",
            "container other",
            "sentient-mqtt:broker.listeners.mqtt.port: 1883: ",
            "in use on the host by container other. Stop it, or choose another port",
        ),
        (
            "folder /srv/data",
            "is a symbolic link",
            "sentient-mqtt:broker.folders.data: '/srv/data': is a symbolic link",
            "Choose another folder",
        ),
        (
            "envfile /etc/mqtt.env",
            "is a folder",
            "sentient-mqtt:broker.envFiles[0].path: '/etc/mqtt.env': is a folder",
            "Move it away",
        ),
    ],
)
def test_each_problem_has_its_sentence(fact, value, begins, says):
    (sentence,) = told(**{fact: value})

    assert sentence.startswith(begins)
    assert says in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_all_problems_are_told_at_once():
    facts = {
        "port 1883": "another program",
        "folder /srv/data": "is a symbolic link",
        "root -": "no",
    }

    assert len(told(**facts)) == 3


def test_without_docker_nothing_else_is_told():
    """The rest was not looked at; it would be guesses."""
    assert len(told(**{"docker -": "absent", "port 1883": "another program"})) == 1


def test_who_becomes_root_through_docker_needs_no_sudo():
    assert told(replace(WANTED, become="docker"), **{"root -": "no"}) == []


def test_what_was_not_looked_at_is_no_problem():
    assert host_errors(WANTED, HostFacts(facts={("docker", "-"): "ok"}), UNIX) == []


@pytest.mark.parametrize(
    ("image", "standing_in", "allowed", "runs"),
    [
        ("present", "local:1", True, "eclipse-mosquitto:2.0.22"),
        ("absent", "local:1", True, "local:1"),
        ("absent", "local:1", False, "eclipse-mosquitto:2.0.22"),
        ("absent", "", True, "eclipse-mosquitto:2.0.22"),
    ],
)
def test_an_image_stands_in_where_it_may_and_has_to(image, standing_in, allowed, runs):
    wanted = replace(WANTED, stand_in="local:*" if allowed else "")
    seen = HostFacts(facts={("image", wanted.image): image, ("standin", "local:*"): standing_in})

    assert seen.present_image(wanted.image, wanted.stand_in) == runs


def test_what_the_probe_said_is_read_back():
    seen = HostFacts.parse(
        "login -=sentient\nport 1883=container a=b\nfolder /srv/a b=ok\n\nprobe -=done\n"
    )

    assert seen.line("login") == "sentient"
    assert seen.line("port", "1883") == "container a=b"
    assert seen.line("folder", "/srv/a b") == "ok"
    assert seen.line("probe") == "done"
    assert seen.line("nothing", "x") == ""


def test_an_answer_that_was_cut_off_is_not_done():
    assert HostFacts.parse("login -=sentient\nprobe").line("probe") == ""


@pytest.mark.parametrize(
    ("stderr", "meaning"),
    [
        ("Host key verification failed.", "accept it once by hand: ssh"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nsomething\n",
            "its host key is not the one in known_hosts",
        ),
        ("a@b: Permission denied (publickey).", "it refused the login. Load your key (ssh-add)"),
        ("Received disconnect: Too many authentication failures", "it refused the login"),
        ("ssh: connect to host b port 22: Connection refused", "it can't be reached"),
        ("ssh: connect to host b port 22: Connection timed out", "it can't be reached"),
        ("ssh: Could not resolve hostname b: Name or service not known", "it can't be reached"),
        ("kex_exchange_identification: Connection closed by remote host", "it can't be reached"),
        ("Bad owner or permissions on /root/.ssh/config", "the OpenSSH client failed"),
        ("", "no message"),
    ],
)
def test_each_failure_of_ssh_has_its_sentence_and_its_own_words(stderr, meaning):
    said = explain_ssh("ssh://a@b", stderr)

    assert said.startswith("host ssh://a@b: ")
    assert meaning in said
    assert "\n" not in said
    assert said.endswith(
        f"(ssh says: {stderr.strip().splitlines()[-1] if stderr else 'no message'})"
    )


def test_the_way_out_of_an_unknown_host_key_is_a_command_that_works():
    """OpenSSH takes ssh://user@name:port as a destination, ours too."""
    said = explain_ssh("ssh://a@b:2222", "Host key verification failed.")

    assert "by hand: ssh ssh://a@b:2222." in said


def test_a_command_for_the_host_has_what_it_needs_and_no_more():
    needed = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "",
        "SSH_AUTH_SOCK": "/a",
        "DOCKER_CONFIG": "/d",
    }
    others = dict.fromkeys((*WITHHELD, "DOCKER_HOST", "LD_PRELOAD", "ANY_TOKEN"), "s3cret")

    assert host_environment(needed | others) == needed
    assert host_environment(needed | others | {"https_proxy": "p"}, *PROXIES) == needed | {
        "https_proxy": "p"
    }
    assert not {*PASSED_ON, *PROXIES} & {*WITHHELD}


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]])
def test_a_clean_interpreter_passes_on_words_and_values_as_they_are(shell):
    first, *words = clean_interpreter(("printf", "%s|"), "OF_MINE")
    assert first == "/bin/sh"
    odd = "a  b'\"$(id)\n`id` *"
    environ = {"PATH": os.environ["PATH"], "HOME": odd, "OF_MINE": odd, "ANY_TOKEN": "s3cret"}
    environ["SHELL"] = "/bin/sh"  # bash has one of its own where none is given

    def said(*command):
        words[2:] = command
        done = subprocess.run([*shell, *words], env=environ, capture_output=True, check=True)
        return done.stdout.decode()

    assert said("printf", "%s|", odd, "") == f"{odd}||"
    environment = said("env", "-0").split("\0")
    assert sorted(environment[:-1]) == sorted(
        f"{name}={value}" for name, value in environ.items() if name != "ANY_TOKEN"
    )


def test_a_clean_interpreter_is_the_same_on_every_machine(monkeypatch):
    here = clean_interpreter(("ssh", "site"))
    monkeypatch.setenv("PATH", "/elsewhere")
    assert clean_interpreter(("ssh", "site")) == here
    assert here[3:] == ("ssh", "site")
