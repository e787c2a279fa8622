"""Every user of production can log in, over MQTT and over WebSocket, and nobody else can."""

import pytest
from mqtt import login_error

PROTOCOLS = pytest.mark.parametrize("websocket", [False, True], ids=["mqtt", "websocket"])
USERS = (
    "admin",
    "sentient_api_prod",
    "sentient_executor_prod",
    "sentient_monitor_prod",
    "paragon_devices",
)


def test_stack_file_declares_the_users_of_production(site):
    assert tuple(site.settings.users) == USERS


@PROTOCOLS
@pytest.mark.parametrize("user", USERS)
def test_user_can_log_in_and_a_wrong_password_is_refused(site, user, websocket):
    site.client(user, websocket=websocket).close()
    port = site.ports[websocket]
    password = site.password(user)
    for wrong in ("wrong", "", password[:-1], password + "x", password.swapcase()):
        assert login_error(port, user, wrong, websocket=websocket) == "Not authorized"


@PROTOCOLS
def test_missing_and_unknown_user_names_are_refused(site, websocket):
    port = site.ports[websocket]
    assert login_error(port, None, None, websocket=websocket) == "Not authorized"
    assert login_error(port, "somebody", "else", websocket=websocket) == "Not authorized"
    password = site.password("paragon_devices")
    assert login_error(port, "admin", password, websocket=websocket) == "Not authorized"


def test_outputs_have_endpoints_and_a_url_per_user(site):
    outputs = site.outputs()
    assert outputs["endpoints"] == {
        "mqtt": f"mqtt://127.0.0.1:{site.ports[0]}",
        "websocket": f"ws://127.0.0.1:{site.ports[1]}",
    }
    for user in USERS:
        login = outputs["credentials"][user]
        assert login["username"] == user
        assert login["url"] == (f"mqtt://{user}:{login['password']}@127.0.0.1:{site.ports[0]}")
        assert len(login["password"]) == 32
