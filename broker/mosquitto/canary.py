"""The canary: a user without rights whose password changes with the configuration files."""

from hashlib import sha256

from broker.credentials.fleets import derive_password
from broker.credentials.password_hashes import derive_salt, hash_password

NAME = "sentient-mqtt-canary"
"""Reserved: no declared user may have this name."""

TOPIC = "sentient-mqtt/denied"
"""The topic to which the canary publishes; the broker must deny it."""


def acl_lines() -> list[str]:
    """Return the canary's block of the ACL file: a deny rule, which overrides every pattern."""
    return [
        "# Asked after each change of these files: must be refused",
        f"user {NAME}",
        f"topic deny {TOPIC}",
    ]


def canary_password(seed: str, *texts: str) -> str:
    """
    Return the password derived from *seed* and *texts*: as secret as *seed*.

    A broker that accepts it has loaded the password file of exactly these texts.
    """
    return derive_password(f"{seed}\0{sha256(repr(texts).encode()).hexdigest()}", NAME, 32)


def passwd_line(seed: str, password: str, iterations: int) -> str:
    """Return the canary's line of the password file."""
    return f"{NAME}:{hash_password(password, derive_salt(seed, NAME, password), iterations)}\n"
