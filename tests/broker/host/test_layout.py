"""What lies where on the host, whose it is, and in which order it gets there."""

from declared import settings_of, smallest

from broker.host.facts import HostFacts
from broker.host.layout import (
    apply_calls,
    configuration_files,
    folder_calls,
    health_environment,
    health_test,
    publications,
)
from broker.mosquitto.canary import NAME as CANARY
from broker.settings.stack_settings import Settings

TEXTS = {"conf": "conf\n", "acl": "acl\n", "passwd": "a:hash\n", "health_password": "h3alth"}


def files_of(broker, **other):
    return configuration_files(
        broker, **(TEXTS | {"seed": "s", "stamps": {"b": "1 32", "a": "7 32"}} | other)
    )


def by_name(files):
    return {each.path.rpartition("/")[2]: each.text for each in files}


def test_prods_files_lie_where_the_seed_has_them():
    files = files_of(settings_of("prod").broker)

    folder = "/opt/sentient/config/mosquitto-prod"
    assert {each.path for each in files} == {
        f"{folder}/mosquitto.conf",
        f"{folder}/mosquitto.acl",
        f"{folder}/mosquitto_passwd",
        f"{folder}/health/mosquitto_sub",
        f"{folder}/canary/mosquitto_pub",
        f"{folder}/logins",
    }
    assert {(each.mode, each.owner.uid, each.owner.gid) for each in files} == {("0600", 1883, 1883)}


def test_rules_come_before_the_users_that_they_bind_and_the_file_that_names_them_last():
    names = [each.path.rpartition("/")[2] for each in files_of(settings_of("prod").broker)]

    assert names.index("mosquitto.acl") < names.index("mosquitto_passwd")
    assert names[-1] == "mosquitto.conf"


def test_the_health_check_finds_its_login_in_a_file_and_nowhere_else():
    broker = Settings.parse(smallest()).broker

    assert by_name(files_of(broker))["mosquitto_sub"] == "-u healthcheck\n-P h3alth\n"
    assert "h3alth" not in str(health_test(broker))
    assert "h3alth" not in str(health_environment())
    assert health_environment() == ["XDG_CONFIG_HOME=/mosquitto/config/health"]


def test_the_health_check_is_a_login_that_ends_with_a_message():
    words = health_test(Settings.parse(smallest(health={"timeout": 10})).broker)

    assert words[:2] == ["CMD", "mosquitto_sub"]
    assert words[words.index("-t") + 1] == "$SYS/broker/uptime"
    assert words[words.index("-C") + 1] == "1"
    # Its own deadline comes before Docker's, so that its exit code is the answer.
    assert int(words[words.index("-W") + 1]) < 10


def test_the_health_check_speaks_plain_mqtt_whatever_comes_first():
    broker = Settings.parse(
        smallest(
            listeners={"web": {"port": 9001, "protocol": "websockets"}, "mqtt": {"port": 1884}}
        )
    ).broker

    words = health_test(broker)

    assert words[words.index("-p") + 1] == "1884"


def test_the_canary_has_a_new_password_with_each_change_and_keeps_it_without_one():
    broker = Settings.parse(smallest()).broker

    def canary(**other):
        return by_name(files_of(broker, **other))["mosquitto_pub"]

    assert canary() == canary()
    changed = [canary(conf="x\n"), canary(acl="x\n"), canary(passwd="x\n"), canary(seed="x")]
    assert len({canary(), canary(health_password="x"), *changed}) == 6
    assert canary().startswith(f"-u {CANARY}\n-P ")


def test_the_canary_is_a_line_of_the_password_file_as_a_hash():
    texts = by_name(files_of(Settings.parse(smallest()).broker))
    password = texts["mosquitto_pub"].partition("-P ")[2].strip()

    users, canary = texts["mosquitto_passwd"].splitlines()
    assert users == "a:hash"
    assert canary.startswith(f"{CANARY}:$7$101$")
    assert password not in texts["mosquitto_passwd"]


def test_folders_that_hold_data_are_kept_and_the_others_are_ours():
    *calls, log = folder_calls(settings_of("prod").broker)

    assert log.words == (
        *("log_file", "/opt/sentient/volumes/mosquitto-logs-shared/mosquitto.log"),
        *("0600", "1883", "1883"),
    )
    kept = [each.words[2] for each in calls if each.words[1] == "kept"]
    assert kept == [
        "/opt/sentient/volumes/mosquitto-data-shared",
        "/opt/sentient/volumes/mosquitto-logs-shared",
    ]
    assert [each.words[3:6] for each in calls if each.words[1] == "kept"] == [
        ("0750", "1883", "1883"),
        ("0750", "0", "1883"),
    ]
    # What root works in nobody else may write.
    assert {each.words[3:6] for each in calls if each.words[1] == "ours"} == {("0750", "0", "1883")}
    ours = [each.words[2] for each in calls if each.words[1] == "ours"]
    # A folder before what is in it.
    assert ours == sorted(ours, key=len)
    assert all(each.startswith("/opt/sentient/config/mosquitto-prod") for each in ours)


def test_one_lock_a_broker_is_taken_before_anything_is_written():
    broker = settings_of("prod").broker

    calls = apply_calls(broker, "unix:///s", "image:1", files_of(broker))

    assert [each.words[0] for each in calls] == ["lock", "broker", "retreat", "image", *["put"] * 6]
    assert calls[0].words[1].endswith("mosquitto-shared.lock")
    assert calls[1].words[1:4] == ("mosquitto-shared", "unix:///s", "1883")
    assert all((each.text is None) == (each.words[0] not in ("put", "retreat")) for each in calls)


class TestPublications:
    def published(self, told, **listeners):
        broker = Settings.parse(smallest(listeners=listeners)).broker
        facts = {("published", "mosquitto-test"): told}
        return publications(broker, HostFacts(facts=facts))

    def test_all_addresses_of_both_versions_are_two_for_docker(self):
        listener = {"port": 1883, "bindAddress": "::"}

        assert self.published("", mqtt=listener) == [(1883, "0.0.0.0"), (1883, "::")]

    def test_they_are_in_the_order_in_which_docker_tells_them(self):
        listener = {"port": 1883, "bindAddress": "::"}

        assert self.published(":: 0.0.0.0 ", mqtt=listener) == [(1883, "::"), (1883, "0.0.0.0")]
        assert self.published("0.0.0.0 :: ", mqtt=listener) == [(1883, "0.0.0.0"), (1883, "::")]

    def test_ports_are_in_their_own_order_as_the_provider_reads_them_back(self):
        found = self.published(
            "",
            websocket={"port": 9001, "protocol": "websockets", "bindAddress": "10.0.0.9"},
            mqtt={"port": 1883},
        )

        assert found == [(1883, "0.0.0.0"), (9001, "10.0.0.9")]
