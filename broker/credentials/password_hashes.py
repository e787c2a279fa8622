"""The password file: ``name:$7$iterations$salt$hash``, as mosquitto_passwd(1) writes it."""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha512

from broker.mosquitto.release_line import IMAGE_OF_2_1, ReleaseLine

DIGEST_BYTES = 64
SALT_BYTES = 12
"""With any other length, Mosquitto 2.0 ignores the user, and 2.1 doesn't start."""
LONG_SALT_BYTES = 64
"""The salt that mosquitto_passwd of 2.1 writes, which 2.0 rejects."""


def derive_salt(seed: str, user: str, generation: str) -> bytes:
    """
    Return the salt of a password, which depends only on seed, user and generation.

    A random salt would change the file, and so the preview, on every run.
    """
    message = f"{user}\0{generation}".encode()
    return hmac.digest(seed.encode(), message, "sha256")[:SALT_BYTES]


def hash_password(password: str, salt: bytes, iterations: int) -> str:
    """Hash *password* with PBKDF2-SHA512, which every Mosquitto since 2.0 supports."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return _hash(password, salt, iterations)


def _hash(password: str, salt: bytes, iterations: int) -> str:
    # Imported here, because the import is slow and most commands compute no hash.
    from passlib.crypto.digest import pbkdf2_hmac  # noqa: PLC0415

    digest: bytes = pbkdf2_hmac("sha512", password.encode(), salt, iterations, keylen=64)  # type: ignore[no-untyped-call]
    return f"$7${iterations}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def hash_generated(
    passwords: Mapping[str, str], *, seed: str, generations: Mapping[str, str], iterations: int
) -> dict[str, str]:
    """Return the hashes of generated passwords, by login; *generations* are by login, too."""
    return {
        user: hash_password(password, derive_salt(seed, user, generations[user]), iterations)
        for user, password in passwords.items()
    }


def hash_external(passwords: Mapping[str, str], *, seed: str, iterations: int) -> dict[str, str]:
    """Return the hashes of external passwords, by user; the salt depends on the password."""
    return {
        user: hash_password(password, derive_salt(seed, user, password), iterations)
        for user, password in passwords.items()
    }


def render_passwd(hashes: Mapping[str, str]) -> str:
    """Return the text of the password file, sorted, so that reordering users does not change it."""
    return "".join(f"{user}:{hashes[user]}\n" for user in sorted(hashes))


def check_hash(text: str, line: ReleaseLine = "2.0") -> str:
    """
    Return *text* if it is a hash that Mosquitto accepts.

    2.1 accepts every hash that 2.0 accepts, salts of 64 bytes and, if it was built with it,
    Argon2id.

    Raises:
        ValueError: it is not; the message doesn't quote the hash, because it can be attacked.

    """
    if re.fullmatch(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+(\$[A-Za-z0-9+/]+){2}", text):
        if line == "2.0":
            raise ValueError(
                f"is Argon2id, which 2.0 rejects; set an image of 2.1 ({IMAGE_OF_2_1}), or a new "
                "password"
            )
        return text
    if match := re.fullmatch(r"\$7\$([1-9][0-9]{0,8})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)", text):
        salt, digest = _decoded(match[2]), _decoded(match[3])
    elif match := re.fullmatch(r"\$6\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)", text):
        salt, digest = _decoded(match[1]), _decoded(match[2])
    else:
        raise ValueError("is not a hash that 2.0 and 2.1 both accept: $7$... (PBKDF2) or $6$...")
    if len(salt) == LONG_SALT_BYTES and line == "2.0":
        raise ValueError(
            f"its salt must have {SALT_BYTES} bytes for 2.0, not {LONG_SALT_BYTES}, as 2.1 writes "
            f"it; set an image of 2.1 ({IMAGE_OF_2_1}), or a new password"
        )
    if len(salt) not in (SALT_BYTES, LONG_SALT_BYTES):
        raise ValueError(
            f"its salt must have {SALT_BYTES} bytes, not {len(salt)}; set a new password"
        )
    if len(digest) != DIGEST_BYTES:
        raise ValueError(
            f"its hash has {len(digest)} bytes and not {DIGEST_BYTES}; is it incomplete?"
        )
    return text


def is_password(word: str, hashed: str) -> bool:
    """
    Return whether *word* is the password of *hashed*, a hash that ``check_hash`` accepts.

    It can't be computed for Argon2id: then every word may be the password.
    """
    _, kind, *others = hashed.split("$")
    if kind == "argon2id":
        return True
    salt, digest = _decoded(others[-2]), _decoded(others[-1])
    if kind == "6":
        return hmac.compare_digest(sha512(word.encode() + salt).digest(), digest)
    return hmac.compare_digest(_hash(word, salt, int(others[0])), hashed)


def hash_iterations(hashed: str) -> int:
    """Return how often *hashed* was computed: 0 for Argon2id, which isn't computed here."""
    _, kind, *others = hashed.split("$")
    return {"6": 1, "7": int(others[0]) if kind == "7" else 0}.get(kind, 0)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError("is not Base64 with padding; is it incomplete?") from None
