"""A password for every user: kept by Pulumi as a secret, shown to the broker as a hash."""

from collections.abc import Mapping

from pulumi import ComponentResource, Output, ResourceOptions
from pulumi_random import RandomPassword

from broker.passwd import render_passwd
from broker.site import Passwords

SPECIAL = "-_.+=@%^,"
"""Punctuation that neither an env file nor a shell nor an INI file reads as its own."""


class Credentials(ComponentResource):
    """One random password a user, drawn anew when the user's generation changes."""

    passwords: dict[str, Output[str]]
    """The plain text, by user name. Secret."""

    passwd: Output[str]
    """The text of the password file. Secret too: a hash can be attacked offline."""

    def __init__(
        self,
        name: str,
        *,
        generations: Mapping[str, str],
        passwords: Passwords,
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("sentient-mqtt:index:Credentials", name, {}, opts)
        child = ResourceOptions(parent=self)

        # One seed for all salts, under a name that no user can have. Not RandomBytes: that shows
        # its value as its id.
        seed = RandomPassword(f"{name}.salts", length=43, special=False, opts=child)
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
        drawn = Output.all(**self.passwords)
        self.passwd = Output.all(seed.result, drawn).apply(
            lambda secret: render_passwd(
                secret[1],
                seed=secret[0],
                generations=generations,
                iterations=passwords.iterations,
            )
        )

        self.register_outputs({"passwords": self.passwords, "passwd": self.passwd})
