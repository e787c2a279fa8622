"""Certificates are made on the host after its folders and before its files; no key comes back."""

import pytest
from declared import smallest
from fake_engine import COMMAND, unwrap
from pulumi import Output

from broker.settings.stack_settings import Settings
from components import Configuration

LISTENERS = {
    "mqtt": {"port": 1883, "bindAddress": "127.0.0.1"},
    "mqtts": {"port": 8883, "tls": {"names": ["10.0.0.1"], "clientCertificates": "required"}},
}


@pytest.fixture
def configured(engine, here):
    engine.run(
        lambda: Configuration(
            "configuration",
            broker=Settings.parse(smallest(listeners=LISTENERS)).broker,
            transport=here,
            image="image:1",
            conf="listener 1883\n",
            acl="user a\n",
            passwd=Output.secret("a:$7$hash\n"),
            health_password=Output.secret("h3alth"),
            seed=Output.secret("s33d"),
            stamps={"sensor": "1 32"},
            revision="3",
        )
    )
    return engine


def test_folders_then_certificates_then_files(configured):
    # After the folders alone: the engine has it or the certificates first.
    logrotate = "configuration-logrotate-mosquitto-test"
    made = list(configured.of_type(COMMAND))
    assert made.index("configuration-folders") < made.index(logrotate)
    assert [each for each in made if each != logrotate] == [
        "configuration-folders",
        "configuration-certificates-pairs",
        "configuration-files",
    ]
    (before,) = configured.options["configuration-certificates-pairs"].depends_on
    assert before._name == "configuration-folders"
    (before,) = configured.options["configuration-files"].depends_on
    assert before._name == "configuration-certificates-pairs"


def test_the_host_is_told_what_to_make_and_what_clients_must_show(configured):
    stdin = unwrap(configured.inputs_of("configuration-certificates-pairs")["stdin"])

    assert (
        "\nown mqtts 127.0.0.1 8883 397 30 "
        "DNS:broker.example.org,DNS:localhost,IP:127.0.0.1,IP:10.0.0.1\nclients mqtts ''\nfinish\n"
    ) in stdin
    assert "\ncertificates /etc/sentient-mqtt/mosquitto-test/certificates 1883 1883 30 3\n" in stdin


def test_a_preview_shows_names_and_another_turn(configured):
    shown = configured.shown_of("configuration-certificates-pairs")

    assert shown["turn"] == "3"
    assert shown["mqtts"].startswith("own CA, 397 days, DNS:broker.example.org,")
