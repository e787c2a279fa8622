"""The transport to the host, host facts, and errors about unmet requirements."""

import os
import subprocess
from dataclasses import replace
from ipaddress import ip_address

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
        # sshConfig has no effect for a local host.
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
def test_docker_and_commands_use_the_same_transport(host, config, interpreter, options):
    route = transport(host, config)

    names = {"ssh://sentient@192.168.2.3": "192.168.2.3", "ssh://site": "site"}
    destination = (names.get(host, "fd00::5"),) if host.startswith("ssh") else ()
    assert route.interpreter == (*interpreter, *destination)
    assert route.ssh_options == options
    assert route.host == host


def test_socket_is_the_one_on_the_host():
    assert transport("ssh://site").socket == UNIX
    assert transport("unix:///run/user/1000/docker.sock").socket == (
        "unix:///run/user/1000/docker.sock"
    )


def test_arguments_are_passed_unchanged():
    route = transport(UNIX)

    done = subprocess.run(
        route.argv(["printf", "%s|", "a b", "$HOME", "it's"]),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "a b|$HOME|it's|"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A PATH with programs sudo, ssh and docker that print their arguments, and a login by uid."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def program(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    program("sudo", 'echo "sudo $1"\nshift\nexec "$@"')
    # Like OpenSSH, it joins its arguments, and the login shell reads them as one line.
    program("ssh", 'while [ "$1" != site ]; do shift; done\nshift\necho ssh\nexec sh -c "$*"')
    program("docker", 'printf "docker"\nprintf " <%s>" "$@"\necho')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def login(uid):
        program("id", f"echo {uid}")

    login(0)
    return login


SCRIPT = 'echo "ran $1 as $(id -u)"\n'


def run(route, become, image=""):
    line = route.script("apply", become=become, image=image)
    done = subprocess.run(
        [*route.interpreter, line], input=SCRIPT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("host", "before"), [(UNIX, []), ("ssh://site", ["ssh"])])
class TestScript:
    @pytest.mark.parametrize("become", ["sudo", "docker", "nobody"])
    def test_root_runs_the_script_directly(self, host, before, become):
        assert run(transport(host), become, "image:1") == [*before, "ran apply as 0"]

    def test_other_login_uses_sudo_without_a_password(self, machine, host, before):
        machine(1000)

        assert run(transport(host), "sudo") == [*before, "sudo -n", "ran apply as 1000"]

    def test_other_login_uses_a_temporary_container_without_network(self, machine, host, before):
        machine(1000)

        *first, call = run(transport(host), "docker", "image:1")

        assert first == before
        assert call == (
            f"docker <-H> <{UNIX}> <run> <--rm> <-i> <--network> <none> <--user> <0:0> "
            "<--volume> </:/host> <--entrypoint> </bin/sh> <image:1> "
            "<-c> <exec chroot /host sh -s apply>"
        )

    def test_become_nobody_keeps_the_login(self, machine, host, before):
        machine(1000)

        assert run(transport(host), "nobody") == [*before, "ran apply as 1000"]


def test_command_line_contains_no_details():
    """An error message shows the whole line: it contains no path, user or text."""
    line = transport("ssh://sentient@192.168.2.3").script("apply", become="sudo")

    assert line.startswith("exec sh -c ")
    assert "sentient" not in line


REQUIRED = HostRequirements(
    stack="prod",
    container="mosquitto-shared",
    image="eclipse-mosquitto:2.0.22",
    fallback_image="",
    ports={"broker.listeners.mqtt.port": 1883},
    folders={"broker.folders.data": "/srv/data"},
    env_files={"broker.envFiles[0].path": "/etc/mqtt.env"},
    become="sudo",
)
SUITABLE = {
    ("login", "-"): "sentient",
    ("root", "-"): "yes",
    ("docker", "-"): "ok",
    ("image", "eclipse-mosquitto:2.0.22"): "present",
    ("container", "mosquitto-shared"): "none",
    ("port", "1883"): "free",
    ("folder", "/srv/data"): "ok",
    ("envfile", "/etc/mqtt.env"): "ok",
}


def errors(required=REQUIRED, host=UNIX, **facts):
    facts = {tuple(key.split(" ")): value for key, value in facts.items()}
    return list(one_line(host_errors(required, HostFacts(facts=SUITABLE | facts), host)))


def test_suitable_host_has_no_errors():
    assert errors() == []


@pytest.mark.parametrize("owner", ["prod", "none"])
def test_own_container_and_ports_are_no_errors(owner):
    assert errors(**{"container mosquitto-shared": owner, "port 1883": "ours"}) == []


@pytest.mark.parametrize(
    ("fact", "value", "begins", "says"),
    [
        ("docker -", "absent", f"host {UNIX}: the docker command is missing.", "apt-get install"),
        ("docker -", "permission denied", f"host {UNIX}: Docker doesn't answer: perm", "usermod"),
        ("root -", "no", f"host {UNIX}: the user 'sentient' is not root", "NOPASSWD: ALL"),
        (
            "container mosquitto-shared",
            "made by hand",
            "sentient-mqtt:broker.container: 'mosquitto-shared': ",
            "docker rename mosquitto-shared mosquitto-shared-old",
        ),
        (
            "port 1883",
            "container other",
            "sentient-mqtt:broker.listeners.mqtt.port: 1883: ",
            "in use on the host by container other. Stop that program or container, or choose",
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
            "Move the file away",
        ),
    ],
)
def test_error_names_path_value_and_fix(fact, value, begins, says):
    (sentence,) = errors(**{fact: value})

    assert sentence.startswith(begins)
    assert says in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_all_errors_are_reported_together():
    facts = {
        "port 1883": "another program",
        "folder /srv/data": "is a symbolic link",
        "root -": "no",
    }

    assert len(errors(**facts)) == 3


def test_network_of_another_program_with_the_containers_name_is_an_error():
    facts = {"network mosquitto-shared": "other"}
    (line,) = errors(replace(REQUIRED, network="mqtt-1234"), **facts)

    assert line.startswith("sentient-mqtt:broker.container: 'mosquitto-shared': a Docker network")
    assert "docker network rm mosquitto-shared" in line
    assert errors(**facts) == [], "on the host's network there is none of its own"
    ours = {"network mosquitto-shared": "ours"}
    assert errors(replace(REQUIRED, network="mqtt-1234"), **ours) == []


def test_login_shell_that_prints_on_stdout_is_an_error():
    """The Docker provider reads Docker's answers from the same stdout."""
    output = "".join(f"{key} {subject}={value}\n" for (key, subject), value in SUITABLE.items())

    def found(before):
        facts = HostFacts.parse(f"{before}{output}")
        return list(one_line(host_errors(REQUIRED, facts, "ssh://site")))

    (line,) = found("Welcome to site\nmore\n")
    assert line.startswith("host ssh://site: its login shell prints 'Welcome to site' on stdout")
    assert "case $- in *i*) ;; *) return ;; esac" in line
    assert found("Welcome ") != []
    assert found("") == []


@pytest.mark.parametrize("how", ["reaches another daemon", "fails: no such file or directory"])
def test_way_of_the_docker_provider_that_does_not_reach_the_daemon_is_an_error(how):
    (line,) = errors(host="ssh://site", **{"dialled -": how})

    assert line.startswith("host ssh://site: 'docker system dial-stdio', through which")
    assert how in line
    assert "Unset DOCKER_HOST" in line
    assert errors(host="ssh://site", **{"dialled -": "ok"}) == []


def test_missing_docker_is_the_only_error():
    """The other facts were not collected."""
    assert len(errors(**{"docker -": "absent", "port 1883": "another program"})) == 1


def test_become_docker_needs_no_sudo():
    assert errors(replace(REQUIRED, become="docker"), **{"root -": "no"}) == []


def test_missing_facts_are_no_errors():
    assert host_errors(REQUIRED, HostFacts(facts={("docker", "-"): "ok"}), UNIX) == []


@pytest.mark.parametrize(
    ("image", "fallback", "allowed", "runs"),
    [
        ("present", "local:1", True, "eclipse-mosquitto:2.0.22"),
        ("absent", "local:1", True, "local:1"),
        ("absent", "local:1", False, "eclipse-mosquitto:2.0.22"),
        ("absent", "", True, "eclipse-mosquitto:2.0.22"),
    ],
)
def test_fallback_image_runs_only_if_allowed_and_needed(image, fallback, allowed, runs):
    required = replace(REQUIRED, fallback_image="local:*" if allowed else "")
    facts = HostFacts(facts={("image", required.image): image, ("standin", "local:*"): fallback})

    assert facts.present_image(required.image, required.fallback_image) == runs


def test_probe_output_is_parsed():
    facts = HostFacts.parse(
        "login -=sentient\nport 1883=container a=b\nfolder /srv/a b=ok\n\nprobe -=done\n"
    )

    assert facts.line("login") == "sentient"
    assert facts.line("port", "1883") == "container a=b"
    assert facts.line("folder", "/srv/a b") == "ok"
    assert facts.line("probe") == "done"
    assert facts.line("nothing", "x") == ""


def test_truncated_probe_output_is_incomplete():
    assert HostFacts.parse("login -=sentient\nprobe").line("probe") == ""


def test_incomplete_probe_is_explained_by_its_message_or_its_last_answer():
    facts = HostFacts.parse("login -=sentient\nknown admin=d1gest\n")

    assert facts.explain_incomplete(UNIX, 1, "docker ps: no\n") == (
        f"host {UNIX}: the probe failed (exit 1): docker ps: no"
    )
    assert facts.explain_incomplete(UNIX, 1, "") == (
        f"host {UNIX}: the probe failed (exit 1): no message; its last answer was 'known admin'"
    )
    assert HostFacts.parse("").explain_incomplete(UNIX, 1, "").endswith("(exit 1): no message")


@pytest.mark.parametrize(
    ("stderr", "meaning"),
    [
        ("Host key verification failed.", "accept the key once by hand: ssh"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nsomething\n",
            "its host key differs from the one in known_hosts",
        ),
        ("a@b: Permission denied (publickey).", "it rejected the login. Load your key (ssh-add)"),
        ("Received disconnect: Too many authentication failures", "it rejected the login"),
        ("ssh: connect to host b port 22: Connection refused", "it can't be reached"),
        ("ssh: connect to host b port 22: Connection timed out", "it can't be reached"),
        ("ssh: Could not resolve hostname b: Name or service not known", "it can't be reached"),
        ("kex_exchange_identification: Connection closed by remote host", "it can't be reached"),
        ("Bad owner or permissions on /root/.ssh/config", "the OpenSSH client failed"),
        ("", "no message"),
    ],
)
def test_ssh_failure_is_explained_and_quoted(stderr, meaning):
    message = explain_ssh("ssh://a@b", stderr)

    assert message.startswith("host ssh://a@b: ")
    assert meaning in message
    assert "\n" not in message
    assert message.endswith(
        f"(ssh says: {stderr.strip().splitlines()[-1] if stderr else 'no message'})"
    )


def test_fix_for_an_unknown_host_key_is_a_valid_command():
    """OpenSSH accepts ssh://user@name:port as a destination."""
    message = explain_ssh("ssh://a@b:2222", "Host key verification failed.")

    assert "by hand: ssh ssh://a@b:2222." in message


def test_command_for_the_host_gets_only_listed_variables():
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
def test_clean_interpreter_passes_arguments_and_values_unchanged(shell):
    first, *words = clean_interpreter(("printf", "%s|"), "OF_MINE")
    assert first == "/bin/sh"
    odd = "a  b'\"$(id)\n`id` *"
    environ = {"PATH": os.environ["PATH"], "HOME": odd, "OF_MINE": odd, "ANY_TOKEN": "s3cret"}
    environ["SHELL"] = "/bin/sh"  # bash sets its own if there is none

    def output_of(*command):
        words[2:] = command
        done = subprocess.run([*shell, *words], env=environ, capture_output=True, check=True)
        return done.stdout.decode()

    assert output_of("printf", "%s|", odd, "") == f"{odd}||"
    environment = output_of("env", "-0").split("\0")
    assert sorted(environment[:-1]) == sorted(
        f"{name}={value}" for name, value in environ.items() if name != "ANY_TOKEN"
    )


def test_clean_interpreter_does_not_depend_on_the_environment(monkeypatch):
    here = clean_interpreter(("ssh", "site"))
    monkeypatch.setenv("PATH", "/elsewhere")
    assert clean_interpreter(("ssh", "site")) == here
    assert here[3:] == ("ssh", "site")


STARTING = replace(
    REQUIRED,
    addresses={"broker.listeners.mqtt.bindAddress": ip_address("10.77.7.7")},
    open_files=2_000_000,
)


@pytest.mark.parametrize(
    ("fact", "value", "path", "said"),
    [
        (
            ("address", "10.77.7.7"),
            "absent",
            "broker.listeners.mqtt.bindAddress",
            "'10.77.7.7': the host has no such address",
        ),
        (
            ("limit", "open_files"),
            "1048576",
            "broker.limits.openFiles",
            "2000000: a process on the host can have at most 1048576 open files",
        ),
        (
            ("architecture", "eclipse-mosquitto:2.0.22"),
            "arm64 on amd64",
            "broker.image",
            "built for another processor (arm64 on amd64)",
        ),
    ],
)
def test_what_docker_could_not_start_is_refused(fact, value, path, said):
    (line,) = errors(STARTING, **{" ".join(fact): value})

    assert line.startswith(f"sentient-mqtt:{path}: ")
    assert said in line


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {
            ("address", "10.77.7.7"): "present",
            ("limit", "open_files"): "2000000",
        },
        {("limit", "open_files"): ""},
    ],
)
def test_what_docker_can_start_is_accepted(facts):
    assert errors(STARTING, **{" ".join(fact): value for fact, value in facts.items()}) == []


def test_a_lost_address_does_not_stop_a_change_without_a_start():
    facts = HostFacts(
        facts=SUITABLE
        | {("address", "10.77.7.7"): "absent", ("published", "mosquitto-shared"): "10.77.7.7 "}
    )

    assert host_errors(STARTING, facts, UNIX, starts=False) == []
    assert len(host_errors(STARTING, facts, UNIX, starts=True)) == 1
