"""The password file has hashes that Mosquitto accepts, and is the same on every run."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.password_hashes import (
    SALT_BYTES,
    check_hash,
    derive_salt,
    hash_external,
    hash_generated,
    hash_password,
    render_passwd,
)
from broker.mosquitto.release_line import release_line

SEED = "seed-of-the-salts"
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", fullmatch=True)


def test_hash_equals_that_of_mosquitto_passwd():
    """The line was written by mosquitto_passwd 2.0.11."""
    salt = b64decode("K/bnjvhnHcNiAEdq")

    assert hash_password("correct-horse", salt, 101) == (
        "$7$101$K/bnjvhnHcNiAEdq$+4kJeQFP//cgZ5fUTn4EpEK651G5Q/efTuKqMTB8yQFFnVbkysfyrJ6YzOjJrCqfa"
        "7rREVfA0/oeJgw5ISrqnw=="
    )


@pytest.mark.parametrize("length", [0, 11, 13, 16, 64])
def test_salt_with_another_length_is_an_error(length):
    with pytest.raises(ValueError, match="a salt has 12 bytes"):
        hash_password("x", b"s" * length, 1)


@given(NAMES, NAMES, st.text(max_size=32))
def test_salt_is_twelve_bytes_and_reproducible(seed, user, generation):
    salt = derive_salt(seed, user, generation)

    assert len(salt) == SALT_BYTES == 12
    assert salt == derive_salt(seed, user, generation)


def test_salt_differs_between_users_generations_and_seeds():
    salts = {
        derive_salt(seed, user, generation)
        for seed in ("one", "two")
        for user in ("alice", "bob", "alice1")
        for generation in ("1", "2", "11")
    }

    assert len(salts) == 18


def test_salt_separates_user_and_generation():
    assert derive_salt(SEED, "alice1", "1") != derive_salt(SEED, "alice", "11")


def rendered(passwords, *, generations=None, iterations=3, seed=SEED):
    hashes = hash_generated(
        passwords,
        seed=seed,
        generations=generations or dict.fromkeys(passwords, "1"),
        iterations=iterations,
    )
    return render_passwd(hashes)


def test_password_file_has_one_line_per_user_and_no_password():
    text = rendered({"alice": "s3cret-a", "bob": "s3cret-b"}, iterations=101)

    assert [line.split("$")[0:3] for line in text.splitlines()] == [
        ["alice:", "7", "101"],
        ["bob:", "7", "101"],
    ]
    assert text.endswith("\n")
    assert "s3cret" not in text


def test_reordered_users_change_nothing():
    assert rendered({"bob": "2", "alice": "1"}) == rendered({"alice": "1", "bob": "2"})


def test_rotation_changes_one_line():
    before = rendered({"alice": "1", "bob": "2"}).splitlines()
    after = rendered(
        {"alice": "another", "bob": "2"}, generations={"alice": "2", "bob": "1"}
    ).splitlines()

    assert before[0] != after[0]
    assert before[1] == after[1]


def test_users_with_the_same_password_have_different_hashes():
    first, second = rendered({"alice": "same", "bob": "same"}).splitlines()

    assert first.partition(":")[2] != second.partition(":")[2]


def test_password_file_without_users_is_empty():
    assert rendered({}) == ""


def test_salt_of_an_external_password_depends_on_the_password():
    first, second = (
        hash_external({"alice": text}, seed=SEED, iterations=7)["alice"].split("$")
        for text in ("a long enough one", "a long enough two")
    )

    assert first[1:3] == second[1:3] == ["7", "7"]
    assert first[3] != second[3]
    assert hash_external({"alice": "x"}, seed=SEED, iterations=7) == hash_external(
        {"alice": "x"}, seed=SEED, iterations=7
    )


def test_hash_that_mosquitto_accepts_is_accepted():
    pbkdf2 = hash_password("s3cret", bytes(SALT_BYTES), 101)
    sha512 = "$6$" + "A" * 16 + "$" + "A" * 86 + "=="

    assert check_hash(pbkdf2) == pbkdf2
    assert check_hash(sha512) == sha512


ARGON2 = "$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
LONG_SALTS = (
    "$7$1000$" + "A" * 86 + "==$" + "A" * 86 + "==",
    "$6$" + "A" * 86 + "==$" + "A" * 86 + "==",
)


@pytest.mark.parametrize("text", [ARGON2, *LONG_SALTS])
def test_hash_of_2_1_is_accepted_for_2_1_only(text):
    assert check_hash(text, "2.1") == text
    with pytest.raises(ValueError, match=r"set an image of 2\.1 \(eclipse-mosquitto:2\.1\.2\)"):
        check_hash(text, "2.0")


@pytest.mark.parametrize("text", ["$7$101$" + "A" * 24 + "$" + "A" * 86 + "==", "$argon2id$x"])
def test_hash_that_2_1_rejects_is_an_error_for_2_1(text):
    with pytest.raises(ValueError, match=r"\w"):
        check_hash(text, "2.1")


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("eclipse-mosquitto:2.0.22", "2.0"),
        ("eclipse-mosquitto:2.1", "2.1"),
        ("localhost/mosquitto-from-debian:2.1.2-forky", "2.1"),
        ("localhost:5000/mosquitto:2.10.1@sha256:" + "0" * 64, "2.1"),
        ("eclipse-mosquitto:3", "2.1"),
        ("eclipse-mosquitto:2", "2.0"),
        ("mosquitto:our-2.1", "2.0"),
        ("mosquitto@sha256:" + "0" * 64, "2.0"),
    ],
)
def test_release_line_is_that_of_the_tag(image, line):
    assert release_line(image) == line


@pytest.mark.parametrize(
    "text",
    [
        "plain text",
        hash_password("s3cret", bytes(SALT_BYTES), 101)[:-4],
        "$7$101$" + "A" * 24 + "$" + "A" * 86 + "==",
        "$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
        "$7$0$" + "A" * 16 + "$" + "A" * 86 + "==",
        "",
    ],
)
def test_hash_that_a_version_rejects_is_an_error_that_does_not_quote_it(text):
    with pytest.raises(ValueError, match=r"\w") as raised:
        check_hash(text)

    assert not text or text not in str(raised.value)
