"""A password for every user: kept by Pulumi as a secret, shown to the broker as a hash."""

from collections.abc import Mapping

from pulumi import ComponentResource, Output, ResourceOptions
from pulumi_random import RandomPassword

from broker.credentials.fleets import member_generations, member_passwords
from broker.credentials.password_hashes import hash_external, hash_generated, render_passwd
from broker.settings.password_settings import Passwords
from broker.settings.users import Fleet

SPECIAL = "-_.+=@%^,"
"""
Punctuation that no shell, INI file or reader of env files treats as syntax: ``SAFE_PUNCTUATION`` in
broker/credentials/env_files.py. Do not change it: that would replace all passwords made of it.
"""


class Credentials(ComponentResource):
    """One random password a user, drawn anew when the user's generation changes."""

    passwords: dict[str, Output[str]]
    """The plain text, by login. Secret. Of adopted ones nobody knows it."""

    seed: Output[str]
    """What all salts are derived from. Secret."""

    fleet_seeds: dict[str, Output[str]]
    """What the passwords of a fleet's members are derived from, by kind. Secret."""

    passwd: Output[str]
    """The text of the password file. Secret too: a hash can be attacked offline."""

    def __init__(
        self,
        name: str,
        *,
        generations: Mapping[str, str],
        passwords: Passwords,
        fleets: Mapping[str, Fleet] | None = None,
        supplied: Mapping[str, str] | None = None,
        hashes: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Credentials", name, {}, opts)
        child = ResourceOptions(parent=self)

        # One seed for all salts, under a name that no user can have. Not RandomBytes: that shows
        # its value as its id.
        # `pulumi destroy` stops at it before anything is deleted. A password can't be protected: a
        # rotation replaces it, and Pulumi refuses to replace what is protected.
        self.seed = RandomPassword(
            f"{name}.salts",
            length=43,
            special=False,
            opts=ResourceOptions(parent=self, protect=True),
        ).result
        self.passwords = {
            user: RandomPassword(
                f"{name}-{user}",
                length=passwords.length,
                special=passwords.special,
                override_special=SPECIAL if passwords.special else None,
                min_lower=1,
                min_upper=1,
                min_numeric=1,
                min_special=1 if passwords.special else 0,
                keepers={"generation": generation},
                opts=child,
            ).result
            for user, generation in generations.items()
        }
        # One resource a fleet, however many its members.
        self.fleet_seeds = {
            kind: RandomPassword(
                f"{name}.fleet.{kind}",
                length=43,
                special=False,
                keepers={"generation": fleet.generation},
                opts=child,
            ).result
            for kind, fleet in (fleets or {}).items()
        }
        self.passwd = Output.all(
            self.seed,
            Output.all(**self.passwords),
            Output.all(**self.fleet_seeds),
            Output.secret(dict(supplied or {})),
            Output.secret(dict(hashes or {})),
        ).apply(
            lambda secret: render_passwd(
                hash_generated(
                    {**secret[1], **member_passwords(fleets or {}, secret[2], passwords.length)},
                    seed=secret[0],
                    generations={**generations, **member_generations(fleets or {})},
                    iterations=passwords.iterations,
                )
                | hash_external(secret[3], seed=secret[0], iterations=passwords.supplied_iterations)
                | secret[4]
            )
        )
        self.passwords |= {
            user: Output.secret(password) for user, password in (supplied or {}).items()
        }

        self.register_outputs({"passwords": self.passwords, "passwd": self.passwd})
