"""The file for logrotate."""

import pytest
from declared import smallest

from broker.logs.logrotate import render_logrotate
from broker.settings.stack_settings import Settings


@pytest.mark.parametrize(("declared", "rendered"), [("512k", "512k"), ("10m", "10M"), ("1g", "1G")])
def test_sizes_have_the_units_of_logrotate(declared, rendered):
    broker = Settings.parse(smallest(logging={"maxSize": declared, "keep": 3})).broker
    text = render_logrotate(broker)
    assert f"maxsize {rendered}\n" in text
    assert "rotate 3\n" in text
    assert '"/srv/mqtt/log/mosquitto.log" {' in text


def test_keep_zero_is_rejected():
    with pytest.raises(ValueError, match=r"broker\.logging\.keep"):
        Settings.parse(smallest(logging={"keep": 0}))
