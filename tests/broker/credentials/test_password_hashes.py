"""The password file is one that a real Mosquitto accepts, and the same on every run."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.password_hashes import (
    SALT_BYTES,
    check_hash,
    derive_salt,
    hash_generated,
    hash_password,
    hash_supplied,
    render_passwd,
)

SEED = "seed-of-the-salts"
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", fullmatch=True)


def test_a_hash_is_the_one_that_mosquitto_computes():
    """The line was written by mosquitto_passwd 2.0.11."""
    salt = b64decode("K/bnjvhnHcNiAEdq")

    assert hash_password("correct-horse", salt, 101) == (
        "$7$101$K/bnjvhnHcNiAEdq$+4kJeQFP//cgZ5fUTn4EpEK651G5Q/efTuKqMTB8yQFFnVbkysfyrJ6YzOjJrCqfa"
        "7rREVfA0/oeJgw5ISrqnw=="
    )


@pytest.mark.parametrize("length", [0, 11, 13, 16, 64])
def test_a_salt_that_mosquitto_drops_is_never_written(length):
    with pytest.raises(ValueError, match="a salt has 12 bytes"):
        hash_password("x", b"s" * length, 1)


@given(NAMES, NAMES, st.text(max_size=32))
def test_a_salt_is_twelve_bytes_and_the_same_each_time(seed, user, generation):
    salt = derive_salt(seed, user, generation)

    assert len(salt) == SALT_BYTES == 12
    assert salt == derive_salt(seed, user, generation)


def test_each_user_generation_and_seed_has_a_salt_of_its_own():
    salts = {
        derive_salt(seed, user, generation)
        for seed in ("one", "two")
        for user in ("alice", "bob", "alice1")
        for generation in ("1", "2", "11")
    }

    assert len(salts) == 18


def test_user_and_generation_can_not_be_shifted_into_each_other():
    assert derive_salt(SEED, "alice1", "1") != derive_salt(SEED, "alice", "11")


def rendered(passwords, *, generations=None, iterations=3, seed=SEED):
    hashes = hash_generated(
        passwords,
        seed=seed,
        generations=generations or dict.fromkeys(passwords, "1"),
        iterations=iterations,
    )
    return render_passwd(hashes)


def test_one_line_a_user_and_no_password_in_it():
    text = rendered({"alice": "s3cret-a", "bob": "s3cret-b"}, iterations=101)

    assert [line.split("$")[0:3] for line in text.splitlines()] == [
        ["alice:", "7", "101"],
        ["bob:", "7", "101"],
    ]
    assert text.endswith("\n")
    assert "s3cret" not in text


def test_a_reordered_stack_file_changes_nothing():
    assert rendered({"bob": "2", "alice": "1"}) == rendered({"alice": "1", "bob": "2"})


def test_a_rotation_changes_one_line():
    before = rendered({"alice": "1", "bob": "2"}).splitlines()
    after = rendered(
        {"alice": "another", "bob": "2"}, generations={"alice": "2", "bob": "1"}
    ).splitlines()

    assert before[0] != after[0]
    assert before[1] == after[1]


def test_two_users_with_one_password_have_two_hashes():
    first, second = rendered({"alice": "same", "bob": "same"}).splitlines()

    assert first.partition(":")[2] != second.partition(":")[2]


def test_nobody_is_an_empty_file():
    assert rendered({}) == ""


def test_a_supplied_password_has_another_salt_when_it_is_another():
    one, two = (
        hash_supplied({"alice": text}, seed=SEED, iterations=7)["alice"].split("$")
        for text in ("a long enough one", "a long enough two")
    )

    assert one[1:3] == two[1:3] == ["7", "7"]
    assert one[3] != two[3]
    assert hash_supplied({"alice": "x"}, seed=SEED, iterations=7) == hash_supplied(
        {"alice": "x"}, seed=SEED, iterations=7
    )


def test_what_mosquitto_takes_for_a_hash_is_kept():
    ours = hash_password("s3cret", bytes(SALT_BYTES), 101)
    old = "$6$" + "A" * 16 + "$" + "A" * 86 + "=="

    assert check_hash(ours) == ours
    assert check_hash(old) == old


@pytest.mark.parametrize(
    "text",
    [
        "in plain text",
        hash_password("s3cret", bytes(SALT_BYTES), 101)[:-4],
        "$7$101$" + "A" * 24 + "$" + "A" * 86 + "==",
        "$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
        "$7$0$" + "A" * 16 + "$" + "A" * 86 + "==",
        "",
    ],
)
def test_what_one_of_the_two_refuses_is_refused_and_never_quoted(text):
    with pytest.raises(ValueError, match=r"\w") as refused:
        check_hash(text)

    assert not text or text not in str(refused.value)
