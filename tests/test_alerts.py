"""Each alert speaks where it should and nowhere else, as Prometheus' own promtool finds."""

import re
import subprocess

import pytest
import yaml
from declared import ROOT

FOLDER = ROOT / "monitoring"


@pytest.fixture(scope="module")
def promtool(prometheus):
    def run(*words, cwd=FOLDER):
        return subprocess.run(
            [prometheus / "promtool", *words], cwd=cwd, capture_output=True, text=True, check=False
        )

    return run


def alerts():
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return {each["alert"]: each for each in group["rules"] if "alert" in each}


def test_prometheus_takes_the_scrapes_and_the_rules(promtool):
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_speaks_where_it_should_and_nowhere_else(promtool):
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_of_them_has_a_story_of_both_halves():
    told = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    cases = [each for test in told for each in test["alert_rule_test"]]
    for name in alerts():
        loud = [each for each in cases if each["alertname"] == name and each.get("exp_alerts")]
        quiet = [each for each in cases if each["alertname"] == name and not each.get("exp_alerts")]
        assert loud, f"{name} is never seen to speak"
        assert quiet, f"{name} is never seen to be silent"


def test_each_says_what_mends_it_with_commands_that_there_are():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name, each in alerts().items():
        mend = each["annotations"]["mend"]
        assert set(re.findall(r"\bmake ([a-z-]+)", mend)) <= targets, name
        assert mend


@pytest.mark.parametrize("name", sorted(alerts()))
def test_without_its_rule_the_story_fails(promtool, name, tmp_path):
    """A test that passes whatever the rules say would prove nothing."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    (group,) = rules["groups"]
    for each in group["rules"]:
        if each.get("alert") == name:
            each["expr"] = "vector(1) == 2"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    story = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
    story["tests"] = [test for test in story["tests"] if speaks(test, name)]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(story))
    assert promtool("test", "rules", "alerts_test.yml", cwd=tmp_path).returncode != 0


def speaks(test, name):
    """Whether the alert *name* is expected in a part of the story."""
    cases = test["alert_rule_test"]
    return any(each["alertname"] == name and each.get("exp_alerts") for each in cases)
