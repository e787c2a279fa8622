"""Damaged, foreign and expired archives are detected, and an error changes nothing."""

import hashlib
import re
import shutil
import tarfile

import pytest
from backup_scripts import (
    archives,
    assert_no_leftovers,
    backup,
    delivered,
    drill,
    folder,
    publish_messages,
    repack,
    restore,
    retained_messages,
)


def damage_truncated(archive, tmp_path):
    whole = archive.read_bytes()
    (tmp_path / archive.name).write_bytes(whole[: len(whole) // 2])


def damage_flipped(archive, tmp_path):
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / archive.name).write_bytes(whole)


def damage_tampered(archive, tmp_path):
    repack(
        archive,
        tmp_path,
        lambda place: (place / "config/mosquitto.acl").write_text("topic readwrite #\n"),
    )


def damage_added(archive, tmp_path):
    repack(archive, tmp_path, lambda place: (place / "config/more").write_text("x"))


def damage_linked(archive, tmp_path):
    repack(archive, tmp_path, lambda place: (place / "config/more").symlink_to("/etc/shadow"))


def damage_counts(archive, tmp_path):
    def change(place):
        manifest = place / "manifest"
        manifest.write_text(manifest.read_text().replace("retained 4\n", "retained 3\n"))

    repack(archive, tmp_path, change)


def damage_unhashed(archive, tmp_path):
    def change(place):
        (place / "config/mosquitto.acl").write_text("topic readwrite #\n")
        manifest = place / "manifest"
        text = re.sub(
            r"(?m)^file [0-9a-f]+ (\d+ config/mosquitto\.acl)$", r"file  \1", manifest.read_text()
        )
        assert "file  " in text
        manifest.write_text(text)

    repack(archive, tmp_path, change)


def damage_foreign(archive, tmp_path):
    with tarfile.open(tmp_path / archive.name, "w:gz") as packed:
        packed.add(__file__, "notes.py")


def damage_not_one(archive, tmp_path):
    (tmp_path / archive.name).write_text("hello")


@pytest.fixture(scope="module")
def damaged(start, tmp_path_factory):
    """Return a broker with one archive, which no test may change."""
    place = tmp_path_factory.mktemp("backups")

    def change(raw):
        raw["broker"]["backups"] = {"folder": str(place / "backups")}

    running = start(change)
    publish_messages(running, 4)
    backup(running)
    return running


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (damage_truncated, "it is truncated, or is not a gzip file"),
        (damage_flipped, "it is truncated, or is not a gzip file"),
        (damage_tampered, "a file differs from the manifest"),
        (damage_added, "it holds files that the manifest does not name"),
        (damage_linked, "it holds links or special files"),
        (damage_unhashed, "it holds files that the manifest does not name"),
        (
            damage_counts,
            "a broker finds 4 1 4 in it (retained messages, sessions, queued messages)",
        ),
        (damage_foreign, "this program did not make it"),
        (damage_not_one, "it is truncated, or is not a gzip file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_archive_is_an_error_and_changes_nothing(damaged, damage, error, tmp_path):
    (archive,) = archives(damaged)
    damage(archive, tmp_path)
    bad = tmp_path / archive.name
    before = damaged.docker("inspect", "--format", "{{.State.StartedAt}}", damaged.broker.container)

    for message in (drill(damaged, bad, well=False), restore(damaged, bad, well=False)):
        assert error in message
        assert str(bad) in message
        assert "Not" in message.title()
    assert before == damaged.docker(
        "inspect", "--format", "{{.State.StartedAt}}", damaged.broker.container
    )
    assert_no_leftovers(damaged)


def test_expired_messages_and_sessions_are_no_damage_and_are_reported(damaged, tmp_path):
    """The manifest names a retained message and a session that have expired since."""
    (archive,) = archives(damaged)

    def change(place):
        text = (place / "manifest").read_text()
        for now, then in (("retained 4", "retained 5"), ("sessions 1", "sessions 2")):
            assert f"\n{now}\n" in text
            text = text.replace(f"\n{now}\n", f"\n{then}\n")
        (place / "manifest").write_text(text)

    repack(archive, tmp_path, change)
    found = drill(damaged, tmp_path / archive.name)

    assert found.counts().startswith("4 retained messages, 1 sessions")
    assert found.ended().startswith("It held 5 retained messages, 2 sessions")


def test_archive_without_its_retained_messages_is_damaged(damaged, tmp_path):
    """A broker that counts no retained message has not read the database."""
    (archive,) = archives(damaged)

    def change(place):
        database, manifest = place / "data/mosquitto.db", place / "manifest"
        line = re.search(r"(?m)^file [0-9a-f]+ \d+ data/mosquitto\.db\n", manifest.read_text())
        manifest.write_text(manifest.read_text().replace(line[0], ""))
        database.unlink()

    repack(archive, tmp_path, change)
    assert "a broker finds 0 0 0 in it" in drill(damaged, tmp_path / archive.name, well=False)


def test_missing_archive_is_an_error(damaged):
    assert "/nowhere.tar.gz: is not on the host" in restore(damaged, "/nowhere.tar.gz", well=False)


def test_archive_of_another_stack_needs_an_option(damaged):
    error = restore(damaged, stack="dev", well=False)
    assert "is of stack prod" in error
    assert "add --other" in error
    assert restore(damaged, stack="dev", other=True, action="look").facts["retained"] == "4"
    # A drill on another stack proves nothing for the archives of that stack.
    note = folder(damaged) / f".drilled-{damaged.broker.container}"
    note.unlink(missing_ok=True)
    (archive,) = archives(damaged)
    assert drill(damaged, archive, stack="dev").facts["retained"] == "4"
    assert not note.exists()
    drill(damaged)
    assert note.read_text().split()[1] == archive.name


def test_restore_on_another_host_in_other_folders(damaged, start, tmp_path):
    (archive,) = archives(damaged)
    elsewhere = start(lambda raw: raw["broker"].update(backups={"folder": str(tmp_path / "new")}))
    assert elsewhere.broker.folders != damaged.broker.folders

    assert "add --other" in restore(elsewhere, archive, well=False)
    restore(elsewhere, archive, other=True)

    assert sorted(retained_messages(elsewhere).values()) == [
        f"as it was {index}" for index in range(4)
    ]
    assert delivered(elsewhere) == [f"as it was {index}" for index in range(4)]


def test_archive_with_whose_files_no_user_could_log_in_is_an_error(damaged, tmp_path):
    (archive,) = archives(damaged)

    def without_rules(place):
        manifest = place / "manifest"
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if "mosquitto.acl" not in line))
        (place / "config/mosquitto.acl").unlink()

    repack(archive, tmp_path, without_rules)
    bad = tmp_path / archive.name
    assert "holds no mosquitto.acl: no user could log in" in drill(damaged, bad, well=False)

    def with_more_logins(place):
        manifest = place / "manifest"
        manifest.write_text(re.sub(r"(?m)^logins \d+$", "logins 99", manifest.read_text()))

    shutil.rmtree(tmp_path / "unpacked")
    repack(archive, tmp_path, with_more_logins)
    assert "holds other logins than its manifest says" in drill(damaged, bad, well=False)


def test_database_of_a_future_version_is_an_error(damaged, tmp_path):
    (archive,) = archives(damaged)

    def change(place):
        database, manifest = place / "data/mosquitto.db", place / "manifest"
        content = bytearray(database.read_bytes())
        # 15 bytes of magic, a checksum of 4, and the version as 4 bytes (mosquitto's persist.h).
        assert content[19:22] == bytes(3)
        content[22] = 99
        was = hashlib.sha256(database.read_bytes()).hexdigest()
        database.write_bytes(content)
        text = manifest.read_text().replace(was, hashlib.sha256(content).hexdigest())
        manifest.write_text(text.replace("image ", "image mosquitto:99 was "))

    repack(archive, tmp_path, change)
    error = restore(damaged, tmp_path / archive.name, well=False)
    assert "can't read its database" in error
    assert "mosquitto:99" in error
    assert "Set broker.image" in error
    assert_no_leftovers(damaged)
