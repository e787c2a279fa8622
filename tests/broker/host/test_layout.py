"""Paths, owners and order of the files and folders on the host."""

from declared import settings_of, smallest

from broker.host.facts import HostFacts
from broker.host.layout import (
    apply_calls,
    configuration_files,
    folder_calls,
    health_environment,
    health_test,
    published_ports,
)
from broker.mosquitto.canary import NAME as CANARY
from broker.settings.stack_settings import Settings

TEXTS = {"conf": "conf\n", "acl": "acl\n", "passwd": "a:hash\n", "health_password": "h3alth"}


def files_of(broker, **other):
    return configuration_files(
        broker, **(TEXTS | {"seed": "s", "stamps": {"b": "1 32", "a": "7 32"}} | other)
    )


def by_name(files):
    return {file.path.rpartition("/")[2]: file.text for file in files}


def test_prod_files_are_at_the_paths_of_the_manual_setup_guide():
    files = files_of(settings_of("prod").broker)

    folder = "/opt/sentient/config/mosquitto-prod"
    assert {file.path for file in files} == {
        f"{folder}/mosquitto.conf",
        f"{folder}/mosquitto.acl",
        f"{folder}/mosquitto_passwd",
        f"{folder}/health/mosquitto_sub",
        f"{folder}/canary/mosquitto_pub",
        f"{folder}/logins",
    }
    assert {(file.mode, file.owner.uid, file.owner.gid) for file in files} == {("0600", 1883, 1883)}


def test_acl_comes_before_passwords_and_mosquitto_conf_last():
    names = [file.path.rpartition("/")[2] for file in files_of(settings_of("prod").broker)]

    assert names.index("mosquitto.acl") < names.index("mosquitto_passwd")
    assert names[-1] == "mosquitto.conf"


def test_health_check_reads_its_login_from_a_file():
    broker = Settings.parse(smallest()).broker

    assert by_name(files_of(broker))["mosquitto_sub"] == "-u healthcheck\n-P h3alth\n"
    assert "h3alth" not in str(health_test(broker))
    assert "h3alth" not in str(health_environment())
    assert health_environment() == ["XDG_CONFIG_HOME=/mosquitto/config/health"]


def test_health_check_logs_in_and_receives_a_message():
    words = health_test(Settings.parse(smallest(health={"timeout": 10})).broker)

    assert words[:2] == ["CMD", "mosquitto_sub"]
    assert words[words.index("-t") + 1] == "$SYS/broker/uptime"
    assert words[words.index("-C") + 1] == "1"
    # Its timeout is shorter than Docker's, so Docker gets its exit code.
    assert int(words[words.index("-W") + 1]) < 10


def test_health_check_uses_the_plain_mqtt_listener():
    broker = Settings.parse(
        smallest(
            listeners={"web": {"port": 9001, "protocol": "websockets"}, "mqtt": {"port": 1884}}
        )
    ).broker

    words = health_test(broker)

    assert words[words.index("-p") + 1] == "1884"


def test_canary_password_changes_only_with_the_files():
    broker = Settings.parse(smallest()).broker

    def canary(**other):
        return by_name(files_of(broker, **other))["mosquitto_pub"]

    assert canary() == canary()
    changed = [canary(conf="x\n"), canary(acl="x\n"), canary(passwd="x\n"), canary(seed="x")]
    assert len({canary(), canary(health_password="x"), *changed}) == 6
    assert canary().startswith(f"-u {CANARY}\n-P ")


def test_password_file_contains_the_hash_of_the_canary():
    texts = by_name(files_of(Settings.parse(smallest()).broker))
    password = texts["mosquitto_pub"].partition("-P ")[2].strip()

    users, canary = texts["mosquitto_passwd"].splitlines()
    assert users == "a:hash"
    assert canary.startswith(f"{CANARY}:$7$101$")
    assert password not in texts["mosquitto_passwd"]


def test_folders_with_data_are_kept_on_removal():
    container, *calls, log = folder_calls(settings_of("prod").broker, "unix:///s", "image:1")

    assert container.words == ("broker", "mosquitto-shared", "unix:///s", "image:1", "30")

    assert log.words == (
        *("log_file", "/opt/sentient/volumes/mosquitto-logs-shared/mosquitto.log"),
        *("0600", "1883", "1883"),
    )
    kept = [call.words[2] for call in calls if call.words[1] == "kept"]
    assert kept == [
        "/opt/sentient/volumes/mosquitto-data-shared",
        "/opt/sentient/volumes/mosquitto-logs-shared",
    ]
    assert [call.words[3:6] for call in calls if call.words[1] == "kept"] == [
        ("0750", "1883", "1883"),
        ("0750", "0", "1883"),
    ]
    removed = [call.words for call in calls if call.words[1] == "ours"]
    # Only root may write in folders in which root works.
    assert {words[3:6] for words in removed} == {("0750", "0", "1883")}
    paths = [words[2] for words in removed]
    # A folder comes before its subfolders.
    assert paths == sorted(paths, key=len)
    assert all(path.startswith("/opt/sentient/config/mosquitto-prod") for path in paths)


def test_lock_is_taken_before_any_write():
    broker = settings_of("prod").broker

    calls = apply_calls(broker, "unix:///s", "image:1", files_of(broker))

    assert [call.words[0] for call in calls] == ["lock", "broker", "retreat", "image", *["put"] * 6]
    assert calls[0].words[1].endswith("mosquitto-shared.lock")
    assert calls[1].words[1:4] == ("mosquitto-shared", "unix:///s", "1883")
    assert all((call.text is None) == (call.words[0] not in ("put", "retreat")) for call in calls)


class TestPublishedPorts:
    def published(self, reported, **listeners):
        broker = Settings.parse(smallest(listeners=listeners)).broker
        facts = {("published", "mosquitto-test"): reported}
        return published_ports(broker, HostFacts(facts=facts))

    def test_unspecified_ipv6_address_is_two_addresses_for_docker(self):
        listener = {"port": 1883, "bindAddress": "::"}

        assert self.published("", mqtt=listener) == [(1883, "0.0.0.0"), (1883, "::")]

    def test_addresses_are_in_the_order_of_docker(self):
        listener = {"port": 1883, "bindAddress": "::"}

        assert self.published(":: 0.0.0.0 ", mqtt=listener) == [(1883, "::"), (1883, "0.0.0.0")]
        assert self.published("0.0.0.0 :: ", mqtt=listener) == [(1883, "0.0.0.0"), (1883, "::")]

    def test_ports_are_sorted_like_those_of_the_provider(self):
        found = self.published(
            "",
            websocket={"port": 9001, "protocol": "websockets", "bindAddress": "10.0.0.9"},
            mqtt={"port": 1883},
        )

        assert found == [(1883, "0.0.0.0"), (9001, "10.0.0.9")]
