"""Root works only where no other user can replace a name by a link."""

import fcntl
import os
import re
from pathlib import Path

import pytest
from declared import ROOT
from host_scripts import host_scripts
from host_under_test import mode

OTHER = 1883


@pytest.fixture
def why(host):
    """Return why root may not work in a path, or nothing; *then* is sh that runs before."""

    def ask(path, *, then=""):
        done = host.sh(
            f'{host_scripts("lib/paths.sh")}\n{then}\nroot_only "$1" || echo "$why"\n', str(path)
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return ask


@pytest.fixture
def place(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a" / "b"


def test_folders_of_root_and_missing_folders_pass(why, place):
    assert why(place) == ""
    assert why(place / "c" / "d") == ""


@pytest.mark.parametrize("which", ["a", "a/b"])
def test_folder_of_another_user_is_refused(why, place, tmp_path, which):
    os.chown(tmp_path / which, OTHER, 0)

    assert why(place).startswith(f"{tmp_path / which} belongs to user {OTHER}, who could replace")
    assert why(place / "c").startswith(f"{tmp_path / which} belongs to user {OTHER}")


@pytest.mark.parametrize("bits", [0o775, 0o757, 0o777, 0o2775, 0o730, 0o703])
def test_folder_that_others_may_write_is_refused(why, place, bits):
    place.chmod(bits)

    assert why(place).startswith(f"users other than root may write {place}")
    assert "(chmod go-w " in why(place)


@pytest.mark.parametrize("bits", [0o755, 0o700, 0o750, 0o2755, 0o1777])
def test_folder_in_which_others_can_replace_nothing_of_root_passes(why, place, bits):
    (place / "c").mkdir()
    place.chmod(bits)

    assert why(place / "c") == ""


def test_folder_of_another_user_in_a_sticky_folder_is_refused(why, place):
    place.chmod(0o1777)
    (place / "c").mkdir()
    os.chown(place / "c", OTHER, 0)

    assert why(place / "c").startswith(f"{place}/c belongs to user")


def test_link_of_root_counts_as_its_target(why, place, tmp_path):
    os.chown(place, OTHER, 0)
    (tmp_path / "link").symlink_to("a/./b/../b")
    (tmp_path / "good").symlink_to(tmp_path / "a")

    assert why(tmp_path / "link").startswith(f"{place} belongs to user")
    assert why(tmp_path / "good") == ""
    assert why(tmp_path / "link" / "below").startswith(f"{place} belongs to user")


def test_link_of_another_user_is_refused(why, place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    os.chown(tmp_path / "link", OTHER, 0, follow_symlinks=False)

    assert why(tmp_path / "link").startswith(f"{tmp_path}/link belongs to user")


def test_link_loop_is_refused(why, tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    assert "more than 40 symbolic links" in why(tmp_path / "one")


def test_file_may_be_the_last_name_of_a_path_only(why, place):
    (place / "file").write_text("x")
    os.chown(place / "file", OTHER, 0)

    assert why(place / "file") == ""
    assert why(place / "file" / "below") == f"{place}/file is not a folder"


def test_created_folders_belong_to_root(why, place):
    assert why(place / "c" / "d", then='make_folder "$1"') == ""

    assert mode(place / "c" / "d") == ("0755", 0, 0)


def test_hand_over_gives_files_to_the_user_and_folders_to_root(why, place):
    (place / "c").mkdir()
    (place / "c" / "file").write_text("x")
    (place / "c" / "file").chmod(0o600)
    (place / "link").symlink_to("/etc/passwd")
    before = Path("/etc/passwd").stat()

    why(place, then=f'hand_over "$1" {OTHER} {OTHER}')

    assert mode(place) == ("0750", 0, OTHER)
    assert mode(place / "c") == ("0750", 0, OTHER)
    assert mode(place / "c" / "file") == ("0600", OTHER, OTHER)
    assert Path("/etc/passwd").stat() == before


def test_lock_is_waited_for_and_not_taken_from_another_process(host, tmp_path):
    script = f'{host_scripts("lib/paths.sh")}\nexec 9>"$1"\n'
    script += "if lock_within 1 9; then echo taken; else echo held; fi\n"
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert host.sh(script, str(tmp_path / "lock")).stdout == "held\n"
    assert host.sh(script, str(tmp_path / "lock")).stdout == "taken\n"

    host.program("flock", "exit 127")
    done = host.sh(script, str(tmp_path / "lock"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("the command flock failed on this host with status 127")


# Scripts that change files and do not follow the rule of host/lib/paths.sh, with the reason.
EXCEPTIONS = {
    "commands/password_ages.sh": "runs where Pulumi runs, in a folder that mktemp created",
}

SCRIPTS = sorted(str(path.relative_to(ROOT / "host")) for path in (ROOT / "host").glob("*/*.sh"))


def test_scripts_are_found():
    assert {"lib/put_files.sh", "commands/probe.sh"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_every_script_that_changes_files_begins_with_paths_sh(script):
    if script in {"lib/paths.sh", *EXCEPTIONS}:
        return
    text = host_scripts(script)
    assert text.startswith(host_scripts("lib/paths.sh")) or not re.search(
        r"^\s*(mkdir|mv|rm|ln|cp|chown|chmod) ", text, re.MULTILINE
    )
