"""A trace of strace(1) lists the accesses of root, and the rule finds those that are forbidden."""

import pytest

from bench.attacks.race import TRICKS, WHEN, plan
from bench.attacks.rule import raced, violations
from bench.attacks.trace import MOUNTED, RENAMED, names, parse

DATA = "/srv/mqtt/data"
HOSTILE = {DATA: "the broker's user"}


def accesses(*calls, cwd="/"):
    """Return the accesses of one process of root that makes *calls*."""
    return parse({7: [f"{number}.5 {call}" for number, call in enumerate(calls)]}, cwd=cwd)


def violations_of(*calls, cwd="/"):
    found = violations(accesses(*calls, cwd=cwd), HOSTILE)
    return [(violation.kind, violation.path) for violation in found]


class TestTrace:
    def test_paths_are_relative_to_the_folder_of_a_descriptor(self):
        found = accesses(
            'openat(AT_FDCWD</etc>, "passwd", O_RDONLY) = 3</etc/passwd>',
            f'unlinkat(4<{DATA}>, "old", 0) = 0',
            f'openat(AT_FDCWD</>, "{DATA}/../x", O_RDONLY) = -1 ENOENT (No such file or directory)',
        )
        assert [access.path for access in found] == ["/etc/passwd", f"{DATA}/old", "/srv/mqtt/x"]

    def test_a_child_inherits_working_folder_and_user(self):
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
        assert [(access.path, access.uid) for access in found if access.kind == "delete"] == [
            ("/srv/a", 0),
            ("/srv/mqtt/b", 1883),
        ]

    def test_a_failed_change_of_user_or_folder_has_no_effect(self):
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
        assert [(access.path, access.other) for access in found] == [
            ("/b", "/a"), ("/a", ""), ("/c", ""), ("/c", ""),
        ]  # fmt: skip

    def test_names_with_spaces_quotes_and_other_alphabets_are_parsed(self):
        (found,) = accesses(r'unlink("/srv/a \"b\"\303\274") = 0')
        assert found.path == '/srv/a "b"ü'

    def test_mounts_of_a_docker_command_are_accesses_of_dockerd(self):
        found = accesses(
            """execve("/usr/bin/docker", ["docker", "run", "--volume", "/srv/x:/data:ro", """
            """"--mount", "type=bind,source=/srv/y,target=/z", "-v", "named:/w"], 0x1) = 0"""
        )
        assert [access.path for access in found if access.kind == MOUNTED] == ["/srv/x", "/srv/y"]


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
    def test_root_must_not_work_in_a_folder_of_another_user(self, call, kind):
        assert [found_kind for found_kind, _ in violations_of(call)] == [kind]

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
    def test_root_may_access_the_folder_itself_and_inspect_names_without_following(self, call):
        assert violations_of(call) == []

    def test_only_a_file_from_a_folder_of_root_may_be_renamed_into_it(self):
        assert (
            violations_of(f'renameat(AT_FDCWD</>, "/srv/mqtt/n", AT_FDCWD</>, "{DATA}/e") = 0')
            == []
        )
        assert violations_of(f'rename("{DATA}/n", "{DATA}/e") = 0') == [
            (RENAMED, f"{DATA}/e"),
            (RENAMED, f"{DATA}/n"),
        ]

    def test_accesses_of_the_user_itself_are_no_violations(self):
        read = f'openat(AT_FDCWD</>, "{DATA}/db", O_RDONLY) = 3</x>'
        assert violations_of("setresuid(-1, 1883, -1) = 0", read) == []
        assert violations_of("setresuid(-1, 1883, -1) = 0", "setresuid(-1, 0, -1) = 0", read) != []

    def test_root_may_use_a_folder_in_tmp_that_it_created_exclusively(self):
        create = 'mkdir("/tmp/tmp.Ab12Cd34Ef", 0700) = 0'
        write = 'openat(AT_FDCWD</>, "/tmp/tmp.Ab12Cd34Ef/x", O_WRONLY|O_CREAT, 0600) = 3</x>'
        assert violations_of(create, write) == []
        assert violations_of(write) == [("create", "/tmp/tmp.Ab12Cd34Ef/x")]
        assert (
            violations_of('openat(AT_FDCWD</>, "/tmp/lock", O_WRONLY|O_CREAT, 0600) = 3</x>') != []
        )

    def test_raced_names_are_all_names_in_folders_of_the_user(self):
        paths = [f"{DATA}/.stage/config/passwd", "/etc/passwd", DATA, f"{DATA}/db"]
        assert raced(paths, HOSTILE, "the broker's user") == [
            f"{DATA}/.stage", f"{DATA}/.stage/config", f"{DATA}/.stage/config/passwd", f"{DATA}/db",
        ]  # fmt: skip
        assert raced(paths, HOSTILE, "somebody else") == []


def test_random_components_of_a_name_become_patterns():
    first = ["/c/.work.aB3dE6/key", "/b/x-20260101T000000Z.tar.gz", "/c/mosquitto.conf"]
    second = ["/c/.work.Zz9yX8/key", "/b/x-20260101T000007Z.tar.gz", "/c/mosquitto.conf"]
    assert names(first, second) == ["/b/x-*.tar.gz", "/c/.work.*/key", "/c/mosquitto.conf"]


def test_rounds_try_every_trick_at_every_time_at_one_name_and_at_all():
    planned = plan(["/d/a", "/d/a/b"], 200, seed=1)
    assert len(planned) == 200
    assert planned == plan(["/d/a", "/d/a/b"], 200, seed=1)
    assert planned != plan(["/d/a", "/d/a/b"], 200, seed=2)
    for names_ in (("/d/a",), ("/d/a/b",), ("/d/a", "/d/a/b")):
        combinations = {(attack.trick, attack.when) for attack in planned if attack.names == names_}
        assert combinations == {(trick, when) for trick in TRICKS for when in WHEN}
    # The first attack keeps a link to a folder at the outermost name.
    assert (planned[0].names, planned[0].trick, planned[0].when) == (("/d/a",), "folder", "keep")
