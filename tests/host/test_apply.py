"""A broker that runs takes new files after a trial, or keeps to the old ones. Here its Docker is a
small imitation; tests/accepted asks real brokers."""

import pytest
from host_under_test import SOCKET, all_files, call

# A broker that reads the folder when it starts or is signalled. It obeys what it has read, but for
# rules that say "bad": with those it lets everybody do everything, as 2.0 does.
BROKER = r"""
shift 2
case "$*" in
  *mqtt-candidate*) who=mqtt-candidate reads=$folder/.candidate ;;
  *) who=mqtt reads=$folder ;;
esac
running() { [ $who = mqtt-candidate ] || [ -e "$state/running" ]; }
case "$*" in
  'image inspect'* | *'{{.Image}}'*) echo sha256:1 ;;
  *'{{.State.Running}} {{.State.Restarting}}'*) running && echo true false ;;
  *'{{.State.Running}}'*) running && echo true ;;
  *'{{range .Mounts'*) cat "$state/mounted" ;;
  run*) cp "$reads/acl" "$state/loaded-$who" ;;
  *'kill -HUP 1')
    if grep -q slip "$reads/acl"; then echo bad; else cat "$reads/acl"; fi >"$state/loaded-$who" ;;
  *mosquitto_pub*)
    if grep -q bad "$state/loaded-$who"; then exit 0; fi
    if cmp -s "$reads/acl" "$state/loaded-$who"; then
      echo 'Warning: Publish 1 failed: Not authorized.'
    else
      echo 'Connection error: Connection Refused: not authorised.'
      exit 5
    fi ;;
  *XDG_CONFIG_HOME=/nonexistent*) exit 5 ;;
  logs*) echo 'Error: Invalid ACL' ;;
esac
"""


class Broker:
    def __init__(self, host, folder, state):
        self.host, self.folder, self.state = host, folder, state
        folder.mkdir()
        state.mkdir()
        (folder / "acl").write_text("old\n")
        (state / "loaded-mqtt").write_text("old\n")
        (state / "running").touch()
        (state / "mounted").write_text(f"/other\n{folder}\n")
        host.docker(f"state={state}\nfolder={folder}\n{BROKER}")

    def apply(self, text, action="apply"):
        return self.host.run(
            "files.sh apply.sh",
            call("lock", self.state / "lock"),
            call("broker", "mqtt", SOCKET, 1883, self.folder, "mosquitto.conf"),
            call("image", "image:1"),
            call("put", self.folder / "acl", "0600", 0, 0, text=f"{text}\n"),
            action=action,
        )

    def loaded(self):
        return (self.state / "loaded-mqtt").read_text()


@pytest.fixture
def broker(host, tmp_path):
    return Broker(host, tmp_path / "config", tmp_path / "state")


def test_new_files_are_tried_put_in_place_and_read(host, broker):
    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(broker.folder) == {"acl": "new\n"}
    assert broker.loaded() == "new\n"
    (trial,) = host.calls(" run ")
    assert "--network none" in trial
    assert "--publish" not in trial
    assert "/mosquitto/data:" in trial
    assert host.calls("rm --force --volumes mqtt-candidate")


def test_the_signal_comes_from_inside(host, broker):
    """`docker kill` would mark the container as stopped by hand."""
    broker.apply("new")

    assert len(host.calls("kill -HUP 1")) == 1
    assert not host.calls(f"docker -H {SOCKET} kill")


def test_unchanged_files_are_neither_tried_nor_reloaded(host, broker):
    done = broker.apply("old")

    assert done.returncode == 0
    assert not host.calls(" run ")
    assert not host.calls("kill -HUP")


def test_files_that_were_put_in_place_and_never_read_are_read_now(host, broker):
    """The run before this one was killed between the renames and the reload."""
    (broker.folder / "acl").write_text("new\n")

    assert broker.apply("new").returncode == 0
    assert broker.loaded() == "new\n"


def test_files_that_the_trial_refuses_change_nothing(host, broker):
    done = broker.apply("bad")

    assert done.returncode == 1
    assert done.stderr == (
        "Mosquitto refuses the new files; nothing was changed. It said:\nError: Invalid ACL\n"
    )
    assert all_files(broker.folder) == {"acl": "old\n"}
    assert not host.calls("kill -HUP")
    assert host.calls("rm --force --volumes mqtt-candidate")


def test_files_that_the_broker_itself_refuses_are_taken_back_and_the_old_ones_read(host, broker):
    done = broker.apply("slip")

    assert done.returncode == 1
    assert "the previous ones are in place again" in done.stderr
    assert all_files(broker.folder) == {"acl": "old\n"}
    assert broker.loaded() == "old\n"
    assert len(host.calls("kill -HUP")) == 2


def test_without_a_broker_that_runs_the_files_are_there_for_its_start(host, broker):
    (broker.state / "running").unlink()

    assert broker.apply("new").returncode == 0
    assert all_files(broker.folder) == {"acl": "new\n"}
    assert not host.calls("kill -HUP")


def test_a_container_that_reads_another_folder_is_left_alone(host, broker):
    (broker.state / "mounted").write_text(f"{broker.folder}-of-another\n")

    assert broker.apply("new").returncode == 0
    assert broker.loaded() == "old\n"


def test_an_image_that_is_not_there_stops_before_anything(host, broker):
    host.docker("exit 1")

    done = broker.apply("new")

    assert done.returncode == 1
    assert done.stderr == "image image:1: is not on this host\n"
    assert all_files(broker.folder) == {"acl": "old\n"}


def test_removal_asks_no_docker(host, broker):
    done = broker.apply("old", action="remove")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(broker.folder) == {}
    assert host.calls() == []
