"""A trace of strace(1) says what root touched, and the rule says where it must not."""

import pytest

from bench.attacks.race import TRICKS, WHEN, plan
from bench.attacks.rule import raced, violations
from bench.attacks.trace import MOUNTED, RENAMED, names, parse

DATA = "/srv/mqtt/data"
HOSTILE = {DATA: "the broker's user"}


def accesses(*calls, cwd="/"):
    """What one process of root's does that makes *calls*."""
    return parse({7: [f"{number}.5 {call}" for number, call in enumerate(calls)]}, cwd=cwd)


def against(*calls, cwd="/"):
    return [(found.kind, found.path) for found in violations(accesses(*calls, cwd=cwd), HOSTILE)]


class TestTrace:
    def test_paths_are_those_of_the_folder_that_a_descriptor_is(self):
        found = accesses(
            'openat(AT_FDCWD</etc>, "passwd", O_RDONLY) = 3</etc/passwd>',
            f'unlinkat(4<{DATA}>, "old", 0) = 0',
            f'openat(AT_FDCWD</>, "{DATA}/../x", O_RDONLY) = -1 ENOENT (No such file or directory)',
        )
        assert [each.path for each in found] == ["/etc/passwd", f"{DATA}/old", "/srv/mqtt/x"]

    def test_a_child_begins_where_its_parent_is_and_with_its_rights(self):
        found = parse(
            {
                7: ['1.0 chdir("/srv") = 0', "2.0 vfork() = 8", '5.0 unlink("a") = 0'],
                8: [
                    "3.0 setresuid(1883, 1883, 1883) = 0",
                    '4.0 chdir("mqtt") = 0',
                    '6.0 unlink("b") = 0',
                ],
            },
            cwd="/",
        )
        assert [(each.path, each.uid) for each in found if each.kind == "delete"] == [
            ("/srv/a", 0),
            ("/srv/mqtt/b", 1883),
        ]

    def test_a_failed_change_of_rights_or_folder_changes_nothing(self):
        found = accesses(
            "setuid(1883) = -1 EPERM (Operation not permitted)",
            'chdir("/srv") = -1 ENOENT (No such file or directory)',
            'unlink("a") = 0',
        )
        assert (found[-1].path, found[-1].uid) == ("/a", 0)

    def test_a_rename_has_two_paths_and_a_new_link_one(self):
        found = accesses(
            'renameat2(AT_FDCWD</>, "/a", AT_FDCWD</>, "/b", RENAME_NOREPLACE) = 0',
            'symlink("/etc/shadow", "/c") = 0',
            'readlink("/c", "/etc/shadow", 99) = 11',
        )
        assert [(each.path, each.other) for each in found] == [
            ("/b", "/a"), ("/a", ""), ("/c", ""), ("/c", ""),
        ]  # fmt: skip

    def test_names_with_blanks_quotes_and_other_alphabets_are_read(self):
        (found,) = accesses(r'unlink("/srv/a \"b\"\303\274") = 0')
        assert found.path == '/srv/a "b"ü'

    def test_what_docker_is_told_to_mount_is_dockerds(self):
        found = accesses(
            """execve("/usr/bin/docker", ["docker", "run", "--volume", "/srv/x:/data:ro", """
            """"--mount", "type=bind,source=/srv/y,target=/z", "-v", "named:/w"], 0x1) = 0"""
        )
        assert [each.path for each in found if each.kind == MOUNTED] == ["/srv/x", "/srv/y"]


class TestRule:
    @pytest.mark.parametrize(
        ("call", "kind"),
        [
            (f'openat(AT_FDCWD</>, "{DATA}/db", O_RDONLY) = 3<{DATA}/db>', "read"),
            (f'openat(AT_FDCWD</>, "{DATA}/db", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</x>', "create"),
            (f'openat(AT_FDCWD</>, "{DATA}/n", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3</x>', "make"),
            (f'fchownat(AT_FDCWD</>, "{DATA}/db", 1, 1, 0) = 0', "change"),
            (f'lchown("{DATA}/db", 1, 1) = 0', "change"),
            (f'unlinkat(AT_FDCWD</>, "{DATA}/db", 0) = 0', "delete"),
            (f'mkdir("{DATA}/new", 0700) = 0', "make"),
            (f'newfstatat(AT_FDCWD</>, "{DATA}/db", 0x1, 0) = 0', "follow"),
            (f'newfstatat(AT_FDCWD</>, "{DATA}/in/db", 0x1, AT_SYMLINK_NOFOLLOW) = 0', "look"),
            (f'execve("{DATA}/program", ["program"], 0x1) = 0', "read"),
            (f'rename("/srv/mqtt/new", "{DATA}/in/db") = 0', "rename"),
            (f'link("/srv/mqtt/backups/db", "{DATA}/.incoming/db") = 0', "rename"),
            (f'chdir("{DATA}/in") = 0', "follow"),
        ],
    )
    def test_root_does_nothing_in_a_folder_of_somebody_elses(self, call, kind):
        assert [found for found, _ in against(call)] == [kind]

    @pytest.mark.parametrize(
        "call",
        [
            f'openat(AT_FDCWD</>, "{DATA}", O_RDONLY|O_DIRECTORY) = 3<{DATA}>',
            f'fchownat(AT_FDCWD</>, "{DATA}", 1883, 1883, 0) = 0',
            f'newfstatat(AT_FDCWD</>, "{DATA}/db", 0x1, AT_SYMLINK_NOFOLLOW) = 0',
            f'openat(AT_FDCWD</>, "{DATA}base/db", O_RDONLY) = 3</x>',
            'openat(AT_FDCWD</>, "/srv/mqtt/backups/x", O_WRONLY|O_CREAT, 0600) = 3</x>',
            'execve("/usr/bin/docker", ["docker", "run", "-v", "/srv/mqtt/data:/data"], 0x1) = 0',
        ],
    )
    def test_root_may_touch_the_folder_itself_and_look_without_following(self, call):
        assert against(call) == []

    def test_a_file_of_roots_folder_is_renamed_in_and_no_other(self):
        assert against(f'renameat(AT_FDCWD</>, "/srv/mqtt/n", AT_FDCWD</>, "{DATA}/e") = 0') == []
        assert against(f'rename("{DATA}/n", "{DATA}/e") = 0') == [
            (RENAMED, f"{DATA}/e"),
            (RENAMED, f"{DATA}/n"),
        ]

    def test_what_a_process_of_that_user_does_is_its_own(self):
        read = f'openat(AT_FDCWD</>, "{DATA}/db", O_RDONLY) = 3</x>'
        assert against("setresuid(-1, 1883, -1) = 0", read) == []
        assert against("setresuid(-1, 1883, -1) = 0", "setresuid(-1, 0, -1) = 0", read) != []

    def test_in_tmp_a_new_name_that_nobody_could_have_taken_is_roots(self):
        made = 'mkdir("/tmp/tmp.Ab12Cd34Ef", 0700) = 0'
        write = 'openat(AT_FDCWD</>, "/tmp/tmp.Ab12Cd34Ef/x", O_WRONLY|O_CREAT, 0600) = 3</x>'
        assert against(made, write) == []
        assert against(write) == [("create", "/tmp/tmp.Ab12Cd34Ef/x")]
        assert against('openat(AT_FDCWD</>, "/tmp/lock", O_WRONLY|O_CREAT, 0600) = 3</x>') != []

    def test_the_names_that_a_user_can_take_are_all_on_the_way(self):
        paths = [f"{DATA}/.stage/config/passwd", "/etc/passwd", DATA, f"{DATA}/db"]
        assert raced(paths, HOSTILE, "the broker's user") == [
            f"{DATA}/.stage", f"{DATA}/.stage/config", f"{DATA}/.stage/config/passwd", f"{DATA}/db",
        ]  # fmt: skip
        assert raced(paths, HOSTILE, "somebody else") == []


def test_random_parts_of_a_name_become_a_pattern_and_others_stay():
    one = ["/c/.work.aB3dE6/key", "/b/x-20260101T000000Z.tar.gz", "/c/mosquitto.conf"]
    two = ["/c/.work.Zz9yX8/key", "/b/x-20260101T000007Z.tar.gz", "/c/mosquitto.conf"]
    assert names(one, two) == ["/b/x-*.tar.gz", "/c/.work.*/key", "/c/mosquitto.conf"]


def test_rounds_take_each_trick_at_each_time_at_one_name_and_at_all():
    planned = plan(["/d/a", "/d/a/b"], 200, seed=1)
    assert len(planned) == 200
    assert planned == plan(["/d/a", "/d/a/b"], 200, seed=1)
    assert planned != plan(["/d/a", "/d/a/b"], 200, seed=2)
    for names_ in (("/d/a",), ("/d/a/b",), ("/d/a", "/d/a/b")):
        seen = {(each.trick, each.when) for each in planned if each.names == names_}
        assert seen == {(trick, when) for trick in TRICKS for when in WHEN}
    # A link to a folder, kept at the outermost name, comes first.
    assert (planned[0].names, planned[0].trick, planned[0].when) == (("/d/a",), "folder", "keep")
