"""Passwords are secret in every output, and the password file contains only hashes."""

import pytest
from fake_engine import PASSWORD, password_of

from broker.credentials.env_files import misreaders
from broker.settings.password_settings import Passwords
from broker.settings.users import Fleet
from components import Credentials


def credentials(*, passwords=None, **arguments):
    return Credentials(
        "credentials",
        **({"generations": {"alice": "1", "bob": "7"}} | arguments),
        passwords=passwords or Passwords(),
    )


def test_each_user_has_a_password_of_32_letters_and_digits_with_all_classes(engine):
    engine.run(credentials)

    inputs = engine.inputs_of("credentials-alice")
    assert inputs["length"] == 32
    assert inputs["special"] is False
    assert (inputs["minLower"], inputs["minUpper"], inputs["minNumeric"]) == (1, 1, 1)
    assert inputs["minSpecial"] == 0


def test_special_passwords_have_only_punctuation_that_env_files_allow(engine):
    engine.run(lambda: credentials(passwords=Passwords(special=True)))

    inputs = engine.inputs_of("credentials-alice")
    assert (inputs["special"], inputs["minSpecial"]) == (True, 1)
    # A changed alphabet replaces every password that was generated with it.
    assert inputs["overrideSpecial"] == "-_.+=@%^,"
    assert not misreaders(inputs["overrideSpecial"])


def test_each_user_has_its_own_generation(engine):
    engine.run(credentials)

    assert engine.inputs_of("credentials-alice")["keepers"] == {"generation": "1"}
    assert engine.inputs_of("credentials-bob")["keepers"] == {"generation": "7"}


def test_one_resource_per_user_and_one_seed_for_all_salts(engine):
    engine.run(credentials)

    assert set(engine.of_type(PASSWORD)) == {
        "credentials-alice",
        "credentials-bob",
        "credentials.salts",
    }
    assert "keepers" not in engine.inputs_of("credentials.salts")


def test_a_fleet_is_one_resource_whatever_the_number_of_its_members(engine):
    fleet = Fleet.model_validate({"count": 500, "prefix": "door", "write": ["a/%u"]})

    passwd = engine.run(lambda: credentials(fleets={"door": fleet}).passwd)

    assert len(engine.of_type(PASSWORD)) == 4
    assert passwd.count("\n") == 502
    assert len({line.partition(":")[2] for line in passwd.splitlines()}) == 502


def test_the_password_file_contains_only_hashes(engine):
    passwd = engine.run(lambda: credentials().passwd)

    assert [line.split("$")[:3] for line in passwd.splitlines()] == [
        ["alice:", "7", "101"],
        ["bob:", "7", "101"],
    ]
    assert "Password-of" not in passwd


@pytest.mark.parametrize("output", ["passwd", "seed"])
def test_hashes_and_seed_are_secret(engine, output):
    """A hash can be attacked offline, so a preview must not print it."""
    assert engine.run(lambda: getattr(credentials(), output).is_secret())


def test_each_password_is_secret(engine):
    assert engine.run(credentials().passwords["bob"].is_secret)
    engine.start()
    assert engine.run(lambda: credentials().passwords["bob"]) == password_of("credentials-bob")


def test_the_password_file_is_the_same_on_every_run(engine):
    first = engine.run(lambda: credentials().passwd)
    engine.start()

    assert engine.run(lambda: credentials().passwd) == first
