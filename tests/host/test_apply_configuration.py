"""
A running broker loads new files after a trial, or keeps what both versions allow.

Docker is a small imitation here; tests/integration uses real brokers.
"""

import itertools

import pytest
from host_under_test import SOCKET, all_files, call, mode

# A broker that reads the folder when it starts or is signalled, and enforces what it has read. With
# the rule "bad" it grants every client full access, as 2.0 does.
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
  *sentient-mqtt.reserved*) cat "$state/labels" ;;
  *'sh -c'*)
    if [ -s "$state/full" ]; then
      head -n 1 "$state/full"
      sed -i 1d "$state/full"
    fi ;;
  *'kill -HUP 1')
    if [ -s "$state/deaf" ]; then
      sed -i 1d "$state/deaf"
      exit 0
    fi
    if [ -e "$state/always-bad" ]; then echo bad >"$state/loaded-$who"; exit 0; fi
    if grep -q fails-on-reload "$reads/acl"; then echo bad >"$state/loaded-$who"; exit 0; fi
    cat "$reads/acl" >"$state/loaded-$who" ;;
  restart*) cp "$reads/acl" "$state/loaded-$who" ;;
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


def rules(*filters):
    """Return an ACL file in which one user may read *filters*."""
    return "user stays\n" + "".join(f"topic read {filter_}\n" for filter_ in filters)


CANARY = "canary:{}\n"
LOGINS = ":rules {}\nstays 1\n"


class Broker:
    def __init__(self, host, folder, state):
        self.host, self.folder, self.state = host, folder, state
        folder.mkdir()
        state.mkdir()
        (folder / "acl").write_text(rules("old"))
        (folder / "passwd").write_text("stays:1\n")
        (folder / "logins").write_text(LOGINS.format("old"))
        (state / "loaded-mqtt").write_text(rules("old"))
        (state / "running").touch()
        (state / "anonymous").write_text("5")
        (state / "labels").touch()
        self.conf = ""
        (state / "mounted").write_text(f"/other\n{folder}\n")
        host.docker(f"state={state}\nfolder={folder}\n{BROKER}")

    def apply(self, *filters, users="stays:1\n", action="apply"):
        conf = ("mosquitto.conf", "passwd", "60")
        between = ("acl", "logins", "canary", "health")
        texts = {
            "acl": rules(*filters),
            "passwd": users + CANARY.format("new"),
            "canary": "new\n",
            "logins": LOGINS.format("new"),
        }
        if self.conf:
            texts["mosquitto.conf"] = self.conf
        return self.host.run(
            "lib/put_files.sh commands/apply_configuration.sh",
            call("lock", self.state / "lock"),
            call("broker", "mqtt", SOCKET, 1883, self.folder, *conf),
            call("retreat", *between, text=CANARY.format("between") + "between\n"),
            call("image", "image:1"),
            *(
                call("put", self.folder / name, "0600", 0, 0, text=text)
                for name, text in texts.items()
            ),
            action=action,
        )

    def clock(self):
        """Replace the clock: every sleep of the script takes one second of it."""
        (self.state / "now").write_text("1000")
        self.host.program("date", f'cat "{self.state}/now"')
        self.host.program(
            "sleep", f'now=$(cat "{self.state}/now")\necho $((now + 1)) >"{self.state}/now"'
        )

    def stalls(self, seconds):
        """Make the broker unresponsive for *seconds*."""
        self.clock()
        (self.state / "stall").write_text("no answer\n" * (seconds + 1))

    def acl(self):
        return (self.folder / "acl").read_text()

    def users(self):
        lines = (self.folder / "passwd").read_text().splitlines()
        return [line for line in lines if not line.startswith("canary:")]

    def loaded(self):
        return (self.state / "loaded-mqtt").read_text()


@pytest.fixture
def broker(host, tmp_path):
    return Broker(host, tmp_path / "config", tmp_path / "state")


def test_new_files_are_tried_put_in_place_and_loaded(host, broker):
    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert broker.acl() == rules("new")
    assert broker.loaded() == rules("new")
    assert set(all_files(broker.folder)) == {"acl", "passwd", "canary", "logins"}
    (trial,) = host.calls(" run ")
    assert "--network none" in trial
    assert "--publish" not in trial
    assert "/mosquitto/data:" in trial
    assert host.calls("rm --force --volumes mqtt-candidate")


def test_signal_is_sent_from_inside_the_container(host, broker):
    """`docker kill` would mark the container as stopped by hand."""
    broker.apply("new")

    assert len(host.calls("kill -HUP 1")) == 1
    assert not host.calls(f"docker -H {SOCKET} kill")


def test_unchanged_files_are_neither_tried_nor_reloaded(host, broker):
    assert broker.apply("old").returncode == 0
    host.calls_file.unlink()

    done = broker.apply("old")

    assert done.returncode == 0
    assert not host.calls(" run ")
    assert not host.calls("kill -HUP")


def test_files_that_a_killed_run_put_in_place_are_loaded_by_the_next(host, broker):
    """The run before this one was killed between the renames and the reload."""
    (broker.folder / "acl").write_text(rules("new"))

    assert broker.apply("new").returncode == 0
    assert broker.loaded() == rules("new")


def test_files_that_fail_the_trial_change_nothing(host, broker):
    done = broker.apply("bad")

    assert done.returncode == 1
    assert done.stderr == (
        "Mosquitto refuses the new files; nothing was changed. It said:\nError: Invalid ACL\n"
    )
    assert broker.acl() == rules("old")
    assert not host.calls("kill -HUP")
    assert host.calls("rm --force --volumes mqtt-candidate")


REVERTED = (
    "Access that the change revokes stays revoked (removed users, old passwords, removed rules), "
    "and access that it grants was reverted"
)


def test_granted_access_is_reverted_if_the_broker_rejects_the_files(host, broker):
    done = broker.apply("old", "fails-on-reload")

    assert done.returncode == 1
    assert f"the broker did not load the new files. {REVERTED}. The broker enforces" in done.stderr
    assert "could not be verified" not in done.stderr
    assert broker.acl() == broker.loaded() == rules("old")
    assert len(host.calls("kill -HUP")) == 2


def test_revoked_access_stays_revoked_if_the_broker_rejects_the_files(broker):
    (broker.folder / "passwd").write_text("gone:1\nrotated:old\nstays:1\n")

    done = broker.apply("fails-on-reload", users="comes:1\nrotated:new\nstays:1\n")

    assert done.returncode == 1
    assert broker.acl() == broker.loaded() == rules()
    assert broker.users() == ["rotated:new", "stays:1"]
    # Neither version has this password: a broker that admits it has read the files in place.
    assert all_files(broker.folder)["canary"] == "between\n"
    assert "canary:between\n" in all_files(broker.folder)["passwd"]
    assert all_files(broker.folder)["logins"].startswith(":rules withdrawn-")
    assert set(all_files(broker.folder)) == {"acl", "passwd", "canary", "logins"}


def test_next_run_completes_a_reverted_change(broker):
    broker.apply("fails-on-reload", users="comes:1\nstays:1\n")

    assert broker.apply("new", users="comes:1\nstays:1\n").returncode == 0
    assert broker.acl() == broker.loaded() == rules("new")
    assert broker.users() == ["comes:1", "stays:1"]
    assert all_files(broker.folder)["logins"] == LOGINS.format("new")


def test_slow_reload_is_waited_for(host, broker):
    broker.stalls(50)

    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert broker.loaded() == rules("new")
    assert len(host.calls("kill -HUP")) == 1


def test_unresponsive_broker_keeps_what_both_versions_allow(host, broker):
    (broker.folder / "passwd").write_text("gone:1\nstays:1\n")
    broker.stalls(1000)

    done = broker.apply("old", "new", users="comes:1\nstays:1\n")

    assert done.returncode == 1
    assert (
        f"could not be verified: the broker did not answer for 60 seconds. {REVERTED}. It comes "
        "into force when the broker reads the files: at its next reload or start. Close "
        "connections (./brokerctl inventory and ./brokerctl refused list their owners), or run "
        "./brokerctl restart, which disconnects every client once; then run ./brokerctl up again."
    ) in done.stderr
    assert broker.acl() == rules("old")
    assert broker.users() == ["stays:1"]
    # One signal per version: the broker may be hashing passwords, and would start that again.
    assert len(host.calls("kill -HUP")) == 2
    assert not host.calls(" stop ")


def test_late_answer_after_a_revert_is_reported(broker):
    broker.stalls(70)

    done = broker.apply("old", "new")

    assert done.returncode == 1
    assert "could not be verified: the broker did not answer for 60 seconds" in done.stderr
    assert (
        "The broker enforces the files that are in place now; ./brokerctl up applies the whole "
        "change." in done.stderr
    )
    assert broker.acl() == broker.loaded() == rules("old")


def test_broker_that_has_not_read_the_files_is_signalled_again(host, broker):
    """A reload without a free descriptor reads nothing, and the broker refuses every login."""
    broker.clock()
    (broker.state / "deaf").write_text("first signal\nsecond signal\n")

    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert len(host.calls("kill -HUP")) == 3
    assert broker.loaded() == rules("new")


def test_broker_without_a_free_descriptor_is_not_signalled(host, broker):
    """2.0 would refuse every login until the next reload, and 2.1 would end."""
    broker.clock()
    (broker.state / "full").write_text("340\n" * 20)

    done = broker.apply("new")

    assert (done.returncode, done.stderr) == (0, "")
    assert len(host.calls("kill -HUP")) == 1
    assert broker.loaded() == rules("new")


def test_broker_that_never_has_a_free_descriptor_is_restarted(host, broker):
    """Nothing else makes it read the files, and revoked access would stay in use."""
    broker.stalls(118)
    (broker.state / "full").write_text("340\n" * 1000)

    done = broker.apply("new")

    assert done.returncode == 1
    assert "as all of its 340 files are open (broker.limits.openFiles)" in done.stderr
    assert "It was restarted, as nothing else makes it read the files" in done.stderr
    assert "The broker enforces the files that are in place now" in done.stderr
    assert not host.calls("kill -HUP")
    assert broker.acl() == broker.loaded() == rules()


def test_signalled_broker_is_not_restarted(host, broker):
    broker.stalls(1000)

    assert broker.apply("new").returncode == 1
    assert host.calls("kill -HUP")
    assert not host.calls(" restart ")


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        ("11883 127.0.0.1", "-h 127.0.0.1 -p 11883"),
        ("1884 192.168.1.5", "-h 192.168.1.5 -p 1884"),
        ("1884 ", "-h 127.0.0.1 -p 1884"),
        (" ", "-h 127.0.0.1 -p 1883"),
        ("", "-h 127.0.0.1 -p 1883"),
    ],
)
def test_canary_connects_to_the_listener_of_the_labels(host, broker, labels, asked):
    (broker.state / "labels").write_text(f"{labels}\n")

    assert broker.apply("new").returncode == 0
    questions = [line for line in host.calls("mosquitto_") if "candidate" not in line]
    assert questions
    assert all(asked in line for line in questions)


def test_revert_does_not_restore_files_of_other_names(broker):
    """The previous mosquitto.conf names the previous files, which grant more."""
    names = "acl_file /mosquitto/config/{0}\npassword_file /mosquitto/config/{1}\n"
    (broker.folder / "mosquitto.conf").write_text(names.format("acl-before", "passwd-before"))
    (broker.folder / "acl").rename(broker.folder / "acl-before")
    (broker.folder / "passwd-before").write_text("gone:1\nstays:1\n")
    (broker.folder / "passwd").unlink()
    broker.conf = names.format("acl", "passwd")

    assert broker.apply("old", "fails-on-reload").returncode == 1
    assert (broker.folder / "mosquitto.conf").read_text() == broker.conf
    assert broker.users() == ["stays:1"]
    assert broker.acl() == rules("old")


def test_revert_restores_mosquitto_conf_if_it_names_the_same_files(broker):
    (broker.folder / "mosquitto.conf").write_text("log_type error\n")
    broker.conf = "log_type all\n"

    assert broker.apply("fails-on-reload").returncode == 1
    assert (broker.folder / "mosquitto.conf").read_text() == "log_type error\n"


def test_client_that_could_not_run_does_not_count_as_refused(host, broker):
    """The exit code of `docker exec` is 126 if it can't run the client."""
    broker.clock()
    (broker.state / "anonymous").write_text("126")

    done = broker.apply("new")

    assert done.returncode == 1
    assert "Mosquitto refuses the new files; nothing was changed" in done.stderr
    assert broker.acl() == rules("old")


def test_broker_that_grants_full_access_after_a_revert_is_stopped(broker):
    broker.clock()
    (broker.state / "always-bad").touch()
    broker.apply("new")
    (broker.state / "running").touch()

    done = broker.apply("new")

    assert done.returncode == 1
    assert "did not load the new files" in done.stderr
    assert "It granted every client full access with the files in place now, too" in done.stderr
    assert "and was stopped" in done.stderr
    assert not (broker.state / "running").exists()


def test_files_of_a_killed_run_are_tried_before_they_are_loaded(host, broker):
    (broker.folder / "acl").write_text(rules("bad"))

    done = broker.apply("bad")

    assert "Mosquitto refuses the new files" in done.stderr
    assert not host.calls("kill -HUP")


BEFORE = "gone:1\nstays:1\n"
AFTER = "comes:1\nstays:2\n"


def renames(broker, *filters):
    """Return what is in place after each rename of one of the two files: logins and rules."""
    trace = broker.state / "trace"
    passwd, acl = broker.folder / "passwd", broker.folder / "acl"
    show = (
        f'grep -v ^canary "{passwd}" | cut -d : -f 1 | tr "\\n" " "; '
        f'grep topic "{acl}" | cut -d " " -f 3 | tr "\\n" " "; echo'
    )
    broker.host.program("mv", f'/bin/mv "$@"\n{{ {show}; }} >>"{trace}"')
    passwd.write_text(BEFORE)
    passwd.chmod(0o600)

    done = broker.apply(*filters, users=AFTER)

    assert set(all_files(broker.folder)) == {"acl", "passwd", "canary", "logins"}
    assert mode(passwd) == mode(acl) == ("0600", 0, 0)
    states = trace.read_text().splitlines()
    return done, [line.strip() for line, _ in itertools.groupby(states)]


EXPECTED_STATES = ["stays old", "stays new", "comes stays new"]


def test_no_login_is_in_place_without_its_rules_during_a_change(broker):
    done, states = renames(broker, "new")

    assert done.returncode == 0
    assert states == EXPECTED_STATES
    assert broker.users() == AFTER.splitlines()


def test_no_login_is_in_place_without_its_rules_during_a_revert(broker):
    done, states = renames(broker, "new", "fails-on-reload")

    there = [line.replace("new", "new fails-on-reload") for line in EXPECTED_STATES]
    assert done.returncode == 1
    assert states == [*there, "stays new fails-on-reload", "stays"]
    assert broker.users() == ["stays:2"]


def test_stopped_broker_gets_the_files_without_a_reload(host, broker):
    (broker.state / "running").unlink()

    assert broker.apply("new").returncode == 0
    assert broker.acl() == rules("new")
    assert not host.calls("kill -HUP")


def test_container_that_reads_another_folder_is_not_signalled(host, broker):
    (broker.state / "mounted").write_text(f"{broker.folder}-of-another\n")

    assert broker.apply("new").returncode == 0
    assert broker.loaded() == rules("old")


def test_missing_image_changes_nothing(host, broker):
    host.docker("exit 1")

    done = broker.apply("new")

    assert done.returncode == 1
    assert done.stderr == "image image:1: is not on this host\n"
    assert broker.acl() == rules("old")


def test_removal_calls_no_docker(host, broker):
    done = broker.apply("old", action="remove")

    assert (done.returncode, done.stderr) == (0, "")
    assert all_files(broker.folder) == {}
    assert host.calls() == []
