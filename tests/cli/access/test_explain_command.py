"""`./brokerctl explain` with topics, filters and neither."""

import pytest

from cli.errors import CommandError


class TestExplain:
    def test_a_filter_is_explained(self, desk, capsys):
        desk.run("explain", "sensor", "$SYS/#")
        assert "sensor may not publish to any of $SYS/#" in capsys.readouterr().out

    def test_a_topic_with_an_empty_level_is_explained(self, desk, capsys):
        desk.run("explain", "sensor", "/a")
        assert "sensor may not publish to /a" in capsys.readouterr().out

    @pytest.mark.parametrize("topic", ["", "a/#/b", "a+"])
    def test_neither_topic_nor_filter_is_an_error(self, desk, topic):
        with pytest.raises(CommandError, match=r"^topic "):
            desk.run("explain", "sensor", topic)
