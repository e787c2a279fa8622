"""Clients log in with every hash and password that the settings permit."""

import pytest
from mqtt import login_error

from components.credentials import SPECIAL


@pytest.mark.parametrize("iterations", [1, 101, 1000, 20_000])
def test_mosquitto_reads_any_number_of_iterations(start, iterations):
    def change(raw):
        raw["broker"]["passwords"] = {"iterations": iterations}

    running = start(change)
    assert f"$7${iterations}$" in (
        next(text for path, text in running.files().items() if path.endswith("_passwd")).decode()
    )
    for name in running.passwords:
        running.client(name).close()
        assert login_error(running.port, name, "wrong") == "Not authorized"


def test_every_permitted_character_of_a_password_works(start):
    def change(raw):
        raw["broker"]["passwords"] = {"special": True}

    passwords = {
        "admin": f"{SPECIAL}Aa1" * 8,
        "sentient_api_prod": f"-{SPECIAL[::-1]}0z",
        "healthcheck": f"-{SPECIAL}Zz9",
        "paragon_devices": "x" * 128,
    }
    running = start(change, passwords)
    for name in running.passwords:
        running.client(name).close()
        running.client(name, websocket=True).close()
    # The health user's password is in a file that mosquitto_sub splits into options.
    assert "seconds" in running.health_check()
