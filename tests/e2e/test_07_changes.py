"""Added, removed, changed and rotated users: applied by one `up` that disconnects nobody else."""

import json
from pathlib import Path

import pytest
from mqtt import DENIED, SUCCESS, login_error


def _change(config):
    users = config["users"]
    del users["sentient_executor_prod"]
    users["lamp"] = {"read": ["paragon/+/lamp"], "description": "A lamp"}
    users["paragon_devices"]["write"] = ["paragon/+/sensors/#", "paragon/+/alarms/#"]
    users["sentient_api_prod"]["generation"] = 2


@pytest.fixture(scope="module")
def preview(site):
    """Change the stack file for the rest of this file; return the preview of the change."""
    before = (site.files(), site.inspect()["State"]["StartedAt"])
    site.edit(_change)
    output = site.preview("--diff").output
    assert (site.files(), site.inspect()["State"]["StartedAt"]) == before
    return output


def test_preview_shows_changed_lines_of_the_access_file(preview):
    lines = [line.strip() for line in preview.splitlines()]
    for line in (
        "- user sentient_executor_prod",
        "+ user lamp",
        "+ topic read paragon/+/lamp",
        "- topic write paragon/+/events/#",
        "+ topic write paragon/+/alarms/#",
    ):
        assert line in lines, preview


def test_preview_shows_the_changed_output_access(preview):
    outputs = preview.partition("--outputs:--")[2]
    for text in ("lamp", "paragon/+/events/#", "paragon/+/alarms/#"):
        assert text in outputs


def test_preview_does_not_replace_the_container(preview):
    assert "docker:index/container:Container" not in preview


def test_changes_take_effect_and_unaffected_clients_stay_connected(site, preview, process_watcher):
    assert preview
    before = site.inspect()
    rotated_password = site.password("sentient_api_prod")
    site.former_passwords.append(rotated_password)
    with (
        site.client("admin") as unaffected,
        site.client("sentient_monitor_prod", websocket=True) as unaffected_websocket,
        site.client("paragon_devices") as narrowed,
        site.client("sentient_api_prod") as rotated,
        site.client("sentient_executor_prod") as removed,
    ):
        unaffected.subscribe("#")
        port = unaffected.local_port
        with process_watcher.watching():
            site.up()

        assert rotated.is_dropped()
        assert removed.is_dropped()
        assert login_error(site.ports[0], "sentient_api_prod", rotated_password)
        assert site.password("sentient_api_prod") != rotated_password
        site.client("sentient_api_prod").close()
        with site.client("lamp") as lamp:
            lamp.subscribe("#")
            assert lamp.publish("paragon/room/lamp") == DENIED
            unaffected.publish("paragon/room/status/x", "not for lamps")
            unaffected.publish("paragon/room/lamp", "on")
            lamp.got("paragon/room/lamp", "on")
            assert {message.text for message in lamp.received} == {"on"}
        assert narrowed.publish("paragon/room/events/x") == DENIED
        assert narrowed.publish("paragon/room/alarms/x", "fire") == SUCCESS
        unaffected.got("paragon/room/alarms/x", "fire")

        assert unaffected.disconnected is None
        assert unaffected.local_port == port
        assert unaffected_websocket.disconnected is None
        assert narrowed.disconnected is None
    after = site.inspect()
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_env_file_has_the_new_password(site):
    path = Path(f"{site.root}/opt/sentient/.env.production")
    assert f"MQTT_PASSWORD={site.password('sentient_api_prod')}\n" in path.read_text()


def test_outputs_list_the_present_users(site):
    access = json.loads(site.stack("output", "access", "--json").output)
    assert access["lamp"] == {"read": ["paragon/+/lamp"], "write": []}
    assert "sentient_executor_prod" not in access
    assert set(site.outputs()["credentials"]) == set(access)


def test_second_up_after_the_change_changes_nothing(site):
    site.up("--expect-no-changes")
