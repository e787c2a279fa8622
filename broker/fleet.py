"""The passwords of a fleet's members, all derived from one secret seed."""

import hmac
from collections.abc import Iterator, Mapping

from broker.users import Fleet

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Bytes above this would make some characters likelier than others.
_LIMIT = 256 - 256 % len(ALPHABET)


def derive_password(seed: str, member: str, length: int) -> str:
    """
    Return the password of *member*: HKDF-SHA256 (RFC 5869) over *seed*, as letters and digits.

    Whoever has one password learns nothing of the others or of the seed.
    """
    key = hmac.digest(b"sentient-mqtt fleet", seed.encode(), "sha256")
    usable = (ALPHABET[byte % len(ALPHABET)] for byte in _stream(key, member) if byte < _LIMIT)
    return "".join(next(usable) for _ in range(length))


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


def _stream(key: bytes, member: str) -> Iterator[int]:
    """Yield HKDF's output, byte by byte: 255 blocks of 32, more than any password takes."""
    block = b""
    for counter in range(1, 256):
        block = hmac.digest(key, block + member.encode() + bytes([counter]), "sha256")
        yield from block
