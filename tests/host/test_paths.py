"""Root works only where nobody else can put a link in place of a name."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from declared import ROOT
from host_scripts import host_scripts
from host_under_test import mode

OTHER = 1883


def why(path, *, then=""):
    """Return why root may not work there, or nothing; *then* is what it does in between."""
    done = subprocess.run(
        ["sh", "-s", str(path)],
        input=f'{host_scripts("lib/paths.sh")}\n{then}\nroot_only "$1" || echo "$why"\n',
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    return tmp_path / "a" / "b"


def test_folders_of_root_will_do_and_so_will_those_that_do_not_exist(place):
    assert why(place) == ""
    assert why(place / "c" / "d") == ""


@pytest.mark.parametrize("which", ["a", "a/b"])
def test_a_folder_of_another_user_will_not(place, tmp_path, which):
    os.chown(tmp_path / which, OTHER, 0)

    assert why(place).startswith(f"{tmp_path / which} belongs to user {OTHER}, who could replace")
    assert why(place / "c").startswith(f"{tmp_path / which} belongs to user {OTHER}")


@pytest.mark.parametrize("bits", [0o775, 0o757, 0o777, 0o2775, 0o730, 0o703])
def test_a_folder_that_others_may_write_will_not(place, bits):
    place.chmod(bits)

    assert why(place).startswith(f"users other than root may write {place}")
    assert "(chmod go-w " in why(place)


@pytest.mark.parametrize("bits", [0o755, 0o700, 0o750, 0o2755, 0o1777])
def test_a_folder_in_which_others_can_replace_nothing_of_roots_will(place, bits):
    (place / "c").mkdir()
    place.chmod(bits)

    assert why(place / "c") == ""


def test_in_a_folder_such_as_tmp_what_is_another_users_will_not(place):
    place.chmod(0o1777)
    (place / "c").mkdir()
    os.chown(place / "c", OTHER, 0)

    assert why(place / "c").startswith(f"{place}/c belongs to user")


def test_a_link_of_roots_counts_as_what_it_names(place, tmp_path):
    os.chown(place, OTHER, 0)
    (tmp_path / "link").symlink_to("a/./b/../b")
    (tmp_path / "good").symlink_to(tmp_path / "a")

    assert why(tmp_path / "link").startswith(f"{place} belongs to user")
    assert why(tmp_path / "good") == ""
    assert why(tmp_path / "link" / "below").startswith(f"{place} belongs to user")


def test_a_link_of_another_user_will_not_wherever_it_leads(place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    os.chown(tmp_path / "link", OTHER, 0, follow_symlinks=False)

    assert why(tmp_path / "link").startswith(f"{tmp_path}/link belongs to user")


def test_links_that_lead_to_each_other_end(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    assert "more than 40 symbolic links" in why(tmp_path / "one")


def test_a_file_is_no_folder_on_the_way_and_may_be_the_end_of_it(place):
    (place / "file").write_text("x")
    os.chown(place / "file", OTHER, 0)

    assert why(place / "file") == ""
    assert why(place / "file" / "below") == f"{place}/file is not a folder"


def test_a_folder_is_made_one_after_the_other_as_roots(place):
    assert why(place / "c" / "d", then='make_folder "$1"') == ""

    assert mode(place / "c" / "d") == ("0755", 0, 0)


def test_what_is_handed_over_can_be_read_and_not_moved(place):
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


# Commands that act on a name, and the scripts in which a rule of their own says where.
HANDLED = {
    "commands/password_ages.sh": "runs where Pulumi does, in a folder that mktemp made",
}

SCRIPTS = sorted(str(path.relative_to(ROOT / "host")) for path in (ROOT / "host").glob("*/*.sh"))


def test_there_are_scripts():
    assert {"lib/put_files.sh", "commands/probe.sh"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_every_script_that_runs_as_root_stands_on_the_rule(script):
    if script in {"lib/paths.sh", *HANDLED}:
        return
    text = host_scripts(script)
    assert text.startswith(host_scripts("lib/paths.sh")) or not re.search(
        r"^\s*(mkdir|mv|rm|ln|cp|chown|chmod) ", text, re.MULTILINE
    )
