"""The passwords of fleet members, which are derived from the fleet's secret seed."""

import hmac
from collections.abc import Mapping

from broker.settings.users import Fleet

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Bytes from this value are skipped: they would make some characters more likely than others.
_LIMIT = 256 - 256 % len(ALPHABET)
_SKIPPED = bytes(range(_LIMIT, 256))
_CHARACTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))


def derive_password(seed: str, member: str, length: int) -> str:
    """
    Return the password of *member*: HKDF-SHA256 (RFC 5869) over *seed*, as letters and digits.

    A password reveals nothing about the seed or about other passwords.
    """
    key = hmac.digest(b"sentient-mqtt fleet", seed.encode(), "sha256")
    text, block, counter = b"", b"", 0
    while len(text) < length:
        counter += 1
        block = hmac.digest(key, block + member.encode() + bytes([counter]), "sha256")
        text += block.translate(_CHARACTERS, _SKIPPED)
    return text[:length].decode()


def member_passwords(
    fleets: Mapping[str, Fleet], seeds: Mapping[str, str], length: int
) -> dict[str, str]:
    """Return the passwords of all members that may log in, of all fleets, by name."""
    return {
        member: derive_password(seeds[kind], _info(member, fleet), length)
        for kind, fleet in fleets.items()
        for member in fleet.admitted
    }


def member_generations(fleets: Mapping[str, Fleet]) -> dict[str, str]:
    """Return the generation of all members: the fleet's, followed by the member's if it has one."""
    return {
        member: generation
        for fleet in fleets.values()
        for member, generation in fleet.admitted.items()
    }


def _info(member: str, fleet: Fleet) -> str:
    """Return the HKDF info of a member: its name and, if it has one, its generation."""
    override = fleet.overrides.get(member)
    return f"{member}\0{override.generation}" if override and override.generation else member
