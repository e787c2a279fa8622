"""The passwords of a fleet's members, all derived from one secret seed."""

import hmac
from collections.abc import Mapping

from broker.settings.users import Fleet

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Bytes above this would make some characters likelier than others: they are left out.
_LIMIT = 256 - 256 % len(ALPHABET)
_LEFT_OUT = bytes(range(_LIMIT, 256))
_CHARACTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))


def derive_password(seed: str, member: str, length: int) -> str:
    """
    Return the password of *member*: HKDF-SHA256 (RFC 5869) over *seed*, as letters and digits.

    Whoever has one password learns nothing of the others or of the seed.
    """
    key = hmac.digest(b"sentient-mqtt fleet", seed.encode(), "sha256")
    text, block, counter = b"", b"", 0
    while len(text) < length:
        counter += 1
        block = hmac.digest(key, block + member.encode() + bytes([counter]), "sha256")
        text += block.translate(_CHARACTERS, _LEFT_OUT)
    return text[:length].decode()


def member_passwords(
    fleets: Mapping[str, Fleet], seeds: Mapping[str, str], length: int
) -> dict[str, str]:
    """Return the password of every member that may log in, of every fleet, by name."""
    return {
        member: derive_password(seeds[kind], _info(member, fleet), length)
        for kind, fleet in fleets.items()
        for member in fleet.admitted
    }


def member_generations(fleets: Mapping[str, Fleet]) -> dict[str, str]:
    """Return the generation of every member: its fleet's, and its own where it has one."""
    return {
        member: generation
        for fleet in fleets.values()
        for member, generation in fleet.admitted.items()
    }


def _info(member: str, fleet: Fleet) -> str:
    """Return what tells a member's password from the others', and from the one before it."""
    override = fleet.overrides.get(member)
    return f"{member}\0{override.generation}" if override and override.generation else member
