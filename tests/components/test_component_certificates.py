"""Certificates are created on the host after the folders and before the files."""

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
def configured(engine, here, record):
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
            record=record,
        )
    )
    return engine


def test_folders_then_certificates_then_files(configured):
    # logrotate depends on the folders only, so its order among the others varies.
    logrotate = "configuration-logrotate-mosquitto-test"
    created = list(configured.of_type(COMMAND))
    assert created.index("configuration-folders") < created.index(logrotate)
    assert [name for name in created if name != logrotate] == [
        "configuration-folders",
        "configuration-certificates-pairs",
        "configuration-files",
    ]
    (dependency,) = configured.options["configuration-certificates-pairs"].depends_on
    assert dependency._name == "configuration-folders"
    (dependency,) = configured.options["configuration-files"].depends_on
    assert dependency._name == "configuration-certificates-pairs"


def test_the_script_gets_names_and_client_certificate_settings(configured):
    stdin = unwrap(configured.inputs_of("configuration-certificates-pairs")["stdin"])

    assert (
        "\nown mqtts 127.0.0.1 8883 397 30 "
        "DNS:broker.example.org,DNS:localhost,IP:127.0.0.1,IP:10.0.0.1\nclients mqtts ''\n"
        "finish\nrecord\n"
    ) in stdin
    assert "\ncertificates /etc/sentient-mqtt/mosquitto-test/certificates 1883 1883 30\n" in stdin


def test_a_preview_shows_names_and_revision(configured):
    shown = configured.shown_of("configuration-certificates-pairs")

    assert shown["revision"] == "3"
    assert shown["mqtts"].startswith("own CA, 397 days, DNS:broker.example.org,")
