"""Findings and their text forms."""

from broker.findings import error, note, of_severity, one_line, render_findings, warning

BAD_FILTER = error(
    "sentient-mqtt:users.sensor.write[0]",
    "'a/#/b': '#' must be the last level of a topic filter",
    "Use 'a/#', or name the level: 'a/+/b'.",
)


def test_error_shows_path_message_and_fix():
    assert str(BAD_FILTER) == (
        "error: sentient-mqtt:users.sensor.write[0]: 'a/#/b': '#' must be the last level of a "
        "topic filter.\n"
        "  Fix: Use 'a/#', or name the level: 'a/+/b'."
    )


def test_finding_without_path_and_fix_shows_only_the_message():
    assert str(note("", "A reload, no restart. Nobody is disconnected.")) == (
        "note: A reload, no restart. Nobody is disconnected."
    )


def test_rendered_findings_omit_the_severity():
    found = [warning("broker.container", "is odd"), BAD_FILTER]

    assert render_findings(found).splitlines()[0] == "broker.container: is odd."
    assert "error" not in render_findings(found)
    assert list(one_line(found))[1].endswith("filter. Use 'a/#', or name the level: 'a/+/b'.")


def test_findings_of_one_severity_keep_their_order():
    found = [note("", "1"), BAD_FILTER, note("", "2")]

    assert of_severity("note", found) == (found[0], found[2])
    assert of_severity("warning", found) == ()
