"""A password for every user: kept by Pulumi as a secret, shown to the broker as a hash."""

from collections.abc import Mapping

from pulumi import ComponentResource, Output, ResourceOptions
from pulumi_random import RandomPassword

from broker.passwd import derive_salt, hash_password, render_passwd
from broker.settings import Passwords

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

        # One seed for all salts, under a name that no user can have. Not RandomBytes: that shows its
        # value as its id.
        seed = RandomPassword(f"{name}.salts", length=43, special=False, opts=child)
        self.passwords = {}
        hashes: dict[str, Output[str]] = {}
        for user, generation in generations.items():
            password = RandomPassword(
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
            self.passwords[user] = Output.secret(password)
            hashes[user] = Output.secret(Output.all(password, seed.result)).apply(
                lambda drawn, user=user, generation=generation: hash_password(
                    drawn[0], derive_salt(drawn[1], user, generation), passwords.iterations
                )
            )
        self.passwd = Output.all(**hashes).apply(render_passwd)

        self.register_outputs({"passwords": self.passwords, "passwd": self.passwd})
