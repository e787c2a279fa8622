"""A container or network that Pulumi is about to create is removed if it is the stack's."""

import pytest
from host_under_test import SOCKET, call

CONTAINER = call("orphan_container", SOCKET, "x-exporter", "prod", "/etc/exporter")
NETWORK = call("orphan_network", SOCKET, "x", "bridge-x")


def container(host, label, mounts="/other"):
    gone = host.folder / "gone"
    host.docker(
        f"case \"$*\" in *' rm '*) touch '{gone}' ;;\n"
        f"*inspect*) [ ! -e '{gone}' ] || exit 1\n"
        f"  case \"$*\" in *Mounts*) echo '{mounts}' ;; *) echo '{label}' ;; esac ;; esac"
    )


def removed(host):
    return host.calls(" rm ")


@pytest.mark.parametrize(
    ("label", "mounts"),
    [
        ("prod", "/other"),
        # A renamed stack, or one of another state: host/commands/claim_host.sh has decided that.
        ("test", "/other"),
        ("", "/etc/exporter"),
        ("<no value>", "/etc/exporter"),
    ],
    ids=["our label", "former name", "no label, our folder", "no labels, our folder"],
)
def test_a_container_of_the_stack_is_removed(host, label, mounts):
    container(host, label, mounts)

    done = host.run("commands/remove_orphan.sh", CONTAINER)

    assert (done.returncode, done.stderr) == (0, "")
    assert removed(host) == [f"docker -H {SOCKET} rm --force --volumes x-exporter"]


def test_a_container_of_another_program_stays(host):
    container(host, "")

    done = host.run("commands/remove_orphan.sh", CONTAINER)

    assert done.returncode == 1
    assert done.stderr.startswith(
        "container x-exporter: exists already, and this stack did not create it"
    )
    assert removed(host) == []


def test_nothing_to_remove_is_no_error(host):
    host.docker("case \"$*\" in *inspect*) exit 1 ;; *'network ls'*) ;; esac")

    assert host.run("commands/remove_orphan.sh", CONTAINER, NETWORK).returncode == 0
    assert removed(host) == []


def network(host, *, bridge="bridge-x", users=""):
    host.docker(
        "case \"$*\" in *'network ls'*) echo 1d ;;\n"
        f"*Options*) echo '{bridge}' ;; *Containers*) echo '{users}' ;; esac"
    )


def test_an_unused_network_is_removed_by_its_id(host):
    network(host)

    assert host.run("commands/remove_orphan.sh", NETWORK).returncode == 0
    assert removed(host) == [f"docker -H {SOCKET} network rm 1d"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"bridge": "other"}, "this stack did not create it. Remove it: docker network rm x"),
        ({"users": "a b "}, "it is in use by a b. Stop and remove"),
    ],
    ids=["another network", "in use"],
)
def test_any_other_network_stays(host, found, said):
    network(host, **found)

    done = host.run("commands/remove_orphan.sh", NETWORK)

    assert done.returncode == 1
    assert said in done.stderr
    assert removed(host) == []


def test_removal_removes_nothing(host):
    network(host)

    assert (
        host.run("commands/remove_orphan.sh", CONTAINER, NETWORK, action="remove").returncode == 0
    )
    assert host.calls() == []
