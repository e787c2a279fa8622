"""What logrotate is told."""

import pytest
from declared import smallest

from broker.logs.logrotate import render_logrotate
from broker.settings.stack_settings import Settings


@pytest.mark.parametrize(("said", "means"), [("512k", "512k"), ("10m", "10M"), ("1g", "1G")])
def test_sizes_are_in_its_spelling(said, means):
    broker = Settings.parse(smallest(logging={"maxSize": said, "keep": 3})).broker
    text = render_logrotate(broker)
    assert f"maxsize {means}\n" in text
    assert "rotate 3\n" in text
    assert '"/srv/mqtt/log/mosquitto.log" {' in text


def test_keeping_nothing_is_refused():
    with pytest.raises(ValueError, match=r"broker\.logging\.keep"):
        Settings.parse(smallest(logging={"keep": 0}))
