"""The password file: ``name:$7$iterations$salt$hash``, as mosquitto_passwd(1) writes it."""

import hmac
from base64 import b64encode
from collections.abc import Mapping

from passlib.crypto.digest import pbkdf2_hmac

SALT_BYTES = 12
"""Mosquitto 2.0 drops a user whose salt has any other length, and 2.1 doesn't start."""


def derive_salt(seed: str, user: str, generation: str) -> bytes:
    """
    Return the salt of one password: its own for each user and generation, the same each time.

    A salt drawn anew would change the file, and so the preview, on every run.
    """
    message = f"{user}\0{generation}".encode()
    return hmac.digest(seed.encode(), message, "sha256")[:SALT_BYTES]


def hash_password(password: str, salt: bytes, iterations: int) -> str:
    """Hash *password* with PBKDF2-SHA512, the one form that every Mosquitto since 2.0 reads."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    digest: bytes = pbkdf2_hmac("sha512", password.encode(), salt, iterations, keylen=64)  # type: ignore[no-untyped-call]
    return f"$7${iterations}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def render_passwd(
    passwords: Mapping[str, str], *, seed: str, generations: Mapping[str, str], iterations: int
) -> str:
    """
    Return the text of the password file, one line a user.

    Sorted, so that a reordered stack file changes nothing. *seed* is the salts', *generations*
    are by user, as *passwords* are.
    """
    hashes = {
        user: hash_password(password, derive_salt(seed, user, generations[user]), iterations)
        for user, password in passwords.items()
    }
    return "".join(f"{user}:{hashes[user]}\n" for user in sorted(hashes))
