"""A password per user: a secret in Pulumi's state, a hash in the broker's password file."""

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
    """One random password per user, replaced when the user's generation changes."""

    passwords: dict[str, Output[str]]
    """The plain text, by login. Secret. Without adopted users, whose passwords are unknown."""

    seed: Output[str]
    """The seed of all salts. Secret."""

    fleet_seeds: dict[str, Output[str]]
    """The seed of the passwords of a fleet's members, by kind. Secret."""

    passwd: Output[str]
    """The text of the password file. Secret, because a hash can be attacked offline."""

    def __init__(
        self,
        name: str,
        *,
        generations: Mapping[str, str],
        passwords: Passwords,
        fleets: Mapping[str, Fleet] | None = None,
        external: Mapping[str, str] | None = None,
        hashes: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Credentials", name, {}, opts)
        child = ResourceOptions(parent=self)

        # One seed for all salts, under a name that no user can have. Not RandomBytes, whose id is
        # its value.
        # Protected, so that `pulumi destroy` stops before it deletes anything. Passwords cannot be
        # protected: a rotation replaces them, and Pulumi does not replace protected resources.
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
        # One resource per fleet, whatever the number of its members.
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
            Output.secret(dict(external or {})),
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
            user: Output.secret(password) for user, password in (external or {}).items()
        }

        self.register_outputs({"passwords": self.passwords, "passwd": self.passwd})
