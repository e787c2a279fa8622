"""The alert rules fire when they should and at no other time, as tested with promtool."""

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
    return {rule["alert"]: rule for rule in group["rules"] if "alert" in rule}


def test_promtool_accepts_the_configuration(promtool):
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_the_alert_rules_pass(promtool):
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_both_firing_and_not_firing():
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for name in alerts():
        of_alert = [case for case in cases if case["alertname"] == name]
        assert any(case.get("exp_alerts") for case in of_alert), f"no test in which {name} fires"
        assert not all(case.get("exp_alerts") for case in of_alert), f"{name} fires in every test"


def test_every_alert_has_a_fix_with_existing_make_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name, rule in alerts().items():
        fix = rule["annotations"]["mend"]
        assert set(re.findall(r"\bmake ([a-z-]+)", fix)) <= targets, name
        assert fix


@pytest.mark.parametrize("name", sorted(alerts()))
def test_the_tests_of_an_alert_fail_if_its_rule_never_fires(promtool, name, tmp_path):
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    (group,) = rules["groups"]
    for rule in group["rules"]:
        if rule.get("alert") == name:
            rule["expr"] = "vector(1) == 2"
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    document = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
    document["tests"] = [test for test in document["tests"] if expects(test, name)]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(document))
    assert promtool("test", "rules", "alerts_test.yml", cwd=tmp_path).returncode != 0


def expects(test, name):
    """Return whether *test* expects the alert *name* to fire."""
    cases = test["alert_rule_test"]
    return any(case["alertname"] == name and case.get("exp_alerts") for case in cases)
