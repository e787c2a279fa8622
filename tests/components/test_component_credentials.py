"""Passwords stay secret on every way out of the component, and only hashes reach the broker."""

import pytest
from fake_engine import PASSWORD, password_of

from broker.credentials.env_files import misreaders
from broker.settings.password_settings import Passwords
from broker.settings.users import Fleet
from components import Credentials


def credentials(*, passwords=None, **parts):
    return Credentials(
        "credentials",
        **({"generations": {"alice": "1", "bob": "7"}} | parts),
        passwords=passwords or Passwords(),
    )


def test_each_user_has_a_password_of_32_letters_and_digits_with_all_classes(engine):
    engine.run(credentials)

    given = engine.inputs_of("credentials-alice")
    assert given["length"] == 32
    assert given["special"] is False
    assert (given["minLower"], given["minUpper"], given["minNumeric"]) == (1, 1, 1)
    assert given["minSpecial"] == 0


def test_punctuation_is_drawn_where_it_is_asked_for_and_none_that_a_shell_reads(engine):
    engine.run(lambda: credentials(passwords=Passwords(special=True)))

    given = engine.inputs_of("credentials-alice")
    assert (given["special"], given["minSpecial"]) == (True, 1)
    # Another alphabet would replace the password of every user that has one of these.
    assert given["overrideSpecial"] == "-_.+=@%^,"
    assert not misreaders(given["overrideSpecial"])


def test_a_generation_is_one_users_own(engine):
    engine.run(credentials)

    assert engine.inputs_of("credentials-alice")["keepers"] == {"generation": "1"}
    assert engine.inputs_of("credentials-bob")["keepers"] == {"generation": "7"}


def test_one_resource_a_user_and_one_seed_for_all_salts(engine):
    engine.run(credentials)

    assert set(engine.of_type(PASSWORD)) == {
        "credentials-alice",
        "credentials-bob",
        "credentials.salts",
    }
    assert "keepers" not in engine.inputs_of("credentials.salts")


def test_a_fleet_is_one_resource_however_many_its_members(engine):
    fleet = Fleet.model_validate({"count": 500, "prefix": "door", "write": ["a/%u"]})

    passwd = engine.run(lambda: credentials(fleets={"door": fleet}).passwd)

    assert len(engine.of_type(PASSWORD)) == 4
    assert passwd.count("\n") == 502
    assert len({line.partition(":")[2] for line in passwd.splitlines()}) == 502


def test_the_password_file_holds_hashes_alone(engine):
    passwd = engine.run(lambda: credentials().passwd)

    assert [line.split("$")[:3] for line in passwd.splitlines()] == [
        ["alice:", "7", "101"],
        ["bob:", "7", "101"],
    ]
    assert "Password-of" not in passwd


@pytest.mark.parametrize("output", ["passwd", "seed"])
def test_what_is_made_of_passwords_is_secret_also_as_a_hash(engine, output):
    """A hash can be attacked offline, so no preview may print it."""
    assert engine.run(lambda: getattr(credentials(), output).is_secret())


def test_each_password_is_secret(engine):
    assert engine.run(credentials().passwords["bob"].is_secret)
    engine.start()
    assert engine.run(lambda: credentials().passwords["bob"]) == password_of("credentials-bob")


def test_the_password_file_is_the_same_on_every_run(engine):
    first = engine.run(lambda: credentials().passwd)
    engine.start()

    assert engine.run(lambda: credentials().passwd) == first
