"""The password file: ``name:$7$iterations$salt$hash``, as mosquitto_passwd(1) writes it."""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha512

DIGEST_BYTES = 64
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
    # Imported here, as most commands compute no hash and should not wait for it.
    from passlib.crypto.digest import pbkdf2_hmac  # noqa: PLC0415

    digest: bytes = pbkdf2_hmac("sha512", password.encode(), salt, iterations, keylen=64)  # type: ignore[no-untyped-call]
    return f"$7${iterations}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def hash_generated(
    passwords: Mapping[str, str], *, seed: str, generations: Mapping[str, str], iterations: int
) -> dict[str, str]:
    """Return the hash of each password, by login. *seed* is the salts', *generations* by login."""
    return {
        user: hash_password(password, derive_salt(seed, user, generations[user]), iterations)
        for user, password in passwords.items()
    }


def hash_supplied(passwords: Mapping[str, str], *, seed: str, iterations: int) -> dict[str, str]:
    """Return the hash of each password that a person thought of; another one, another salt."""
    return {
        user: hash_password(password, derive_salt(seed, user, password), iterations)
        for user, password in passwords.items()
    }


def render_passwd(hashes: Mapping[str, str]) -> str:
    """Return the text of the password file; sorted: a reordered stack file changes nothing."""
    return "".join(f"{user}:{hashes[user]}\n" for user in sorted(hashes))


def check_hash(text: str) -> str:
    """
    Return *text* if 2.0 and 2.1 both take it for a hash.

    Raises:
        ValueError: they don't. The message doesn't quote it: a hash can be attacked.

    """
    if found := re.fullmatch(r"\$7\$([1-9][0-9]{0,8})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)", text):
        salt, digest = _decoded(found[2]), _decoded(found[3])
    elif found := re.fullmatch(r"\$6\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)", text):
        salt, digest = _decoded(found[1]), _decoded(found[2])
    else:
        raise ValueError("is no hash that 2.0 and 2.1 both read: $7$... (PBKDF2) or $6$...")
    if len(salt) != SALT_BYTES:
        raise ValueError(
            f"its salt must have {SALT_BYTES} bytes for 2.0, and has {len(salt)}; set the password "
            "anew"
        )
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"its hash has {len(digest)} bytes and not {DIGEST_BYTES}; cut off?")
    return text


def is_password(word: str, hashed: str) -> bool:
    """Whether *word* is the password of *hashed*, one that ``check_hash`` takes."""
    _, kind, *others = hashed.split("$")
    salt, digest = _decoded(others[-2]), _decoded(others[-1])
    if kind == "6":
        return hmac.compare_digest(sha512(word.encode() + salt).digest(), digest)
    return hmac.compare_digest(hash_password(word, salt, int(others[0])), hashed)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is not Base64 with its padding; copied in part?") from None
