"""A finding is shown with its place, what is wrong, and the way out."""

from broker.findings import error, note, of_severity, one_line, render_findings, warning

BAD_FILTER = error(
    "sentient-mqtt:users.sensor.write[0]",
    "'a/#/b': '#' must be the last level of a topic filter",
    "Use 'a/#', or name the level: 'a/+/b'.",
)


def test_an_error_is_shown_with_path_message_and_fix():
    assert str(BAD_FILTER) == (
        "error: sentient-mqtt:users.sensor.write[0]: 'a/#/b': '#' must be the last level of a "
        "topic filter.\n"
        "  Fix: Use 'a/#', or name the level: 'a/+/b'."
    )


def test_a_finding_without_path_or_fix_is_its_message_alone():
    assert str(note("", "A reload, no restart. Nobody is disconnected.")) == (
        "note: A reload, no restart. Nobody is disconnected."
    )


def test_pulumi_writes_the_severity_itself():
    found = [warning("broker.container", "is odd"), BAD_FILTER]

    assert render_findings(found).splitlines()[0] == "broker.container: is odd."
    assert "error" not in render_findings(found)
    assert list(one_line(found))[1].endswith("filter. Use 'a/#', or name the level: 'a/+/b'.")


def test_findings_of_one_severity_keep_their_order():
    found = [note("", "1"), BAD_FILTER, note("", "2")]

    assert of_severity("note", found) == (found[0], found[2])
    assert of_severity("warning", found) == ()
