"""Every hash and password that settings permit is one that a client logs in with."""

import pytest
from mqtt import refusal

from components.credentials import SPECIAL


@pytest.mark.parametrize("iterations", [1, 101, 1000, 20_000])
def test_any_number_of_iterations_is_one_that_mosquitto_reads(start, iterations):
    def change(raw):
        raw["broker"]["passwords"] = {"iterations": iterations}

    running = start(change)
    assert f"$7${iterations}$" in (
        next(text for path, text in running.files().items() if path.endswith("_passwd")).decode()
    )
    for name in running.passwords:
        running.client(name).close()
        assert refusal(running.port, name, "wrong") == "Not authorized"


def test_every_character_that_a_password_may_hold_survives_all_its_files(start):
    def change(raw):
        raw["broker"]["passwords"] = {"special": True}

    odd = {
        "admin": f"{SPECIAL}Aa1" * 8,
        "sentient_api_prod": f"-{SPECIAL[::-1]}0z",
        "healthcheck": f"-{SPECIAL}Zz9",
        "paragon_devices": "x" * 128,
    }
    running = start(change, odd)
    for name in running.passwords:
        running.client(name).close()
        running.client(name, websocket=True).close()
    # The health user's password stands in a file that mosquitto_sub splits into options.
    assert "seconds" in running.health_check()
