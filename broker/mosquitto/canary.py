"""A user who may do nothing, with a password that is new whenever the files are."""

from hashlib import sha256

from broker.credentials.fleets import derive_password
from broker.credentials.password_hashes import derive_salt, hash_password

NAME = "sentient-mqtt-canary"
"""Nobody else may have it."""

TOPIC = "sentient-mqtt/denied"
"""What the canary tries to publish, and must not."""


def acl_lines() -> list[str]:
    """Return the canary's block of the ACL file: a denial, which no pattern can grant past."""
    return [
        "# Asked after each change of these files: must be refused",
        f"user {NAME}",
        f"topic deny {TOPIC}",
    ]


def canary_password(seed: str, *texts: str) -> str:
    """
    Return the password that goes with *texts*: as secret as *seed*, and as stable as they are.

    A broker that takes it has read the file that came with these texts, and none before it.
    """
    return derive_password(f"{seed}\0{sha256(repr(texts).encode()).hexdigest()}", NAME, 32)


def passwd_line(seed: str, password: str, iterations: int) -> str:
    """Return the canary's line of the password file."""
    return f"{NAME}:{hash_password(password, derive_salt(seed, NAME, password), iterations)}\n"
