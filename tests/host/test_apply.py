"""A broker that runs takes new files after a trial, or keeps to the old ones. Here its Docker is a
small imitation; tests/accepted asks real brokers."""

import pytest
from host_under_test import SOCKET, all_files, call, mode

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
  stop*) rm -f "$state/running" ;;
  *mosquitto_pub*)
    if [ $who = mqtt ] && [ -e "$state/stall" ] && grep -q . "$state/stall"; then
      sed -i 1d "$state/stall"
      exit 124
    fi
    if grep -q bad "$state/loaded-$who"; then exit 0; fi
    if cmp -s "$reads/acl" "$state/loaded-$who"; then
      echo 'Warning: Publish 1 failed: Not authorized.'
    else
      echo 'Connection error: Connection Refused: not authorised.'
      exit 5
    fi ;;
  *XDG_CONFIG_HOME=/nonexistent*) exit "$(cat "$state/anonymous")" ;;
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
        (state / "anonymous").write_text("5")
        (state / "mounted").write_text(f"/other\n{folder}\n")
        host.docker(f"state={state}\nfolder={folder}\n{BROKER}")

    def apply(self, text, *more, action="apply"):
        conf = ("mosquitto.conf", "passwd", "60")
        return self.host.run(
            "files.sh apply.sh",
            call("lock", self.state / "lock"),
            call("broker", "mqtt", SOCKET, 1883, self.folder, *conf),
            call("image", "image:1"),
            call("put", self.folder / "acl", "0600", 0, 0, text=f"{text}\n"),
            *more,
            action=action,
        )

    def clock(self):
        """A minute passes as fast as the broker is asked: a second each time it is waited for."""
        (self.state / "now").write_text("1000")
        self.host.program("date", f'cat "{self.state}/now"')
        self.host.program(
            "sleep", f'now=$(cat "{self.state}/now")\necho $((now + 1)) >"{self.state}/now"'
        )

    def stalls(self, seconds):
        """It answers nobody for that long."""
        self.clock()
        (self.state / "stall").write_text("no answer\n" * (seconds + 1))

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


def test_a_reload_that_hashes_many_passwords_anew_is_waited_for(host, broker):
    broker.stalls(50)

    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert broker.loaded() == "new\n"
    assert len(host.calls("kill -HUP")) == 1


def test_one_that_answers_nobody_any_more_gets_its_files_back_and_that_is_said(host, broker):
    broker.stalls(1000)

    done = broker.apply("new")

    assert done.returncode == 1
    assert "the previous ones are in place again. It does not answer with those" in done.stderr
    assert all_files(broker.folder) == {"acl": "old\n"}
    assert not host.calls(" stop ")


def test_a_question_that_nobody_heard_is_no_refusal(host, broker):
    """126 is what `docker exec` ends with where it can't run the client."""
    broker.clock()
    (broker.state / "anonymous").write_text("126")

    done = broker.apply("new")

    assert done.returncode == 1
    assert "Mosquitto refuses the new files; nothing was changed" in done.stderr
    assert all_files(broker.folder) == {"acl": "old\n"}


def test_where_the_way_back_is_open_to_everybody_the_broker_is_stopped(host, broker):
    """The run before was killed between renames and reload, so these are the previous files."""
    broker.clock()
    (broker.folder / "acl").write_text("slip\n")

    done = broker.apply("slip")

    assert done.returncode == 1
    assert "does not take the files that were in place already. It let everybody" in done.stderr
    assert "and was stopped" in done.stderr
    assert "the previous ones are in place again" not in done.stderr
    assert not (broker.state / "running").exists()


def test_files_that_a_killed_run_left_in_place_are_tried_before_they_are_read(host, broker):
    (broker.folder / "acl").write_text("bad\n")

    done = broker.apply("bad")

    assert "Mosquitto refuses the new files" in done.stderr
    assert not host.calls("kill -HUP")


BEFORE = "gone:1\nstays:1\n"
AFTER = "comes:1\nstays:2\n"


def renames(broker, acl):
    """Return what is in place after each rename of one of the two files: logins and rules."""
    trace = broker.state / "trace"
    show = f'cut -d : -f 1 "{broker.folder}/passwd" | tr "\\n" " "; cat "{broker.folder}/acl"'
    broker.host.program("mv", f'/bin/mv "$@"\n{{ {show}; }} >>"{trace}"')
    passwd = broker.folder / "passwd"
    passwd.write_text(BEFORE)
    passwd.chmod(0o600)

    done = broker.apply(acl, call("put", passwd, "0600", 0, 0, text=AFTER))

    assert {each.name for each in broker.folder.iterdir()} == {"acl", "passwd"}
    assert mode(passwd) == ("0600", 0, 0)
    return done, trace.read_text().splitlines()


THERE = ["stays old", "stays new", "comes stays new"]


def test_no_login_is_ever_in_place_without_the_rules_that_bind_it(broker):
    done, seen = renames(broker, "new")

    assert done.returncode == 0
    assert seen == THERE
    assert (broker.folder / "passwd").read_text() == AFTER


def test_nor_is_one_on_the_way_back(broker):
    done, seen = renames(broker, "slip")

    there = [each.replace("new", "slip") for each in THERE]
    assert done.returncode == 1
    assert seen == [*there, "stays slip", "stays old", "gone stays old"]
    assert (broker.folder / "passwd").read_text() == BEFORE


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
