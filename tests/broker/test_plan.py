"""The plan, computed from settings, secrets, facts, stack name and time."""

from datetime import UTC, datetime

import pytest
from declared import settings_of, smallest

from broker.credentials.password_hashes import SALT_BYTES, hash_password
from broker.host.facts import HostFacts
from broker.host.ownership import StateRecord
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_digest
from broker.plan import check_settings, make_plan
from broker.settings.stack_settings import Settings

NOW = datetime(2027, 1, 31, tzinfo=UTC)
HOST = {("docker", "-"): "ok", ("login", "-"): "root", ("root", "-"): "yes"}
HASH = hash_password("s3cret", bytes(SALT_BYTES), 101)
CONTAINER = "mosquitto-test"


def settings(users=None, **broker):
    return Settings.parse(smallest(**broker) | ({"users": users} if users else {}))


def plan_of(declared, facts=None, *, stack="dev", secrets=None, **more):
    found = {
        **HOST,
        **(facts or {}),
        **{tuple(key.split(" ")): value for key, value in more.items()},
    }
    state = StateRecord(id="state-1", brokers=frozenset({declared.broker.container}), empty=False)
    return make_plan(declared, secrets or {}, HostFacts(facts=found), stack, NOW, state=state)


def running(declared, stack="dev"):
    """The facts of a host where the broker of *declared* runs."""
    known = {("known", name): stamp for name, stamp in remembered(declared).items()}
    digest = start_digest(declared.broker, declared.broker.image, reserved=False)
    return {("container", CONTAINER): stack, ("configuration", CONTAINER): digest, **known}


class TestCheckSettings:
    """Findings that need no host facts."""

    def check(self, declared, stack="dev", **secrets):
        return check_settings(declared, secrets, stack, NOW)

    def test_the_stack_files_of_the_repository_have_no_findings(self):
        assert self.check(settings_of("dev")) == []
        assert self.check(settings_of("prod"), "prod") == []

    def test_a_missing_secret_is_an_error_with_the_command_that_sets_it(self):
        (finding,) = self.check(settings({"lamp": {"read": ["a"], "password": "supplied"}}))

        assert finding.severity == "error"
        assert finding.path == "sentient-mqtt:users.lamp.password"
        assert "pulumi config set --secret" in finding.fix

    def test_secret_and_access_errors_are_reported_together(self):
        users = {
            "lamp": {"read": ["a"], "password": "supplied"},
            "root": {"readwrite": ["#"]},
            "other": {"readwrite": ["#"]},
        }
        found = self.check(settings(users), "prod")

        assert [finding.path for finding in found] == [
            "sentient-mqtt:users.lamp.password",
            "sentient-mqtt:users.other",
        ]

    @pytest.mark.parametrize(("stack", "severity"), [("prod", "error"), ("dev", "warning")])
    def test_a_guardrail_stops_prod_and_warns_elsewhere(self, stack, severity):
        declared = settings({"a": {"readwrite": ["#"]}, "b": {"readwrite": ["#"]}})

        (finding,) = self.check(declared, stack)

        assert finding.severity == severity
        assert "(guardrail oneAdmin)" in finding.message

    def test_an_unused_secret_is_a_warning(self):
        (finding,) = self.check(settings(), hashes={"gone": HASH})

        assert (finding.severity, finding.path) == ("warning", "sentient-mqtt:hashes")

    def test_unused_secrets_are_not_reported_beside_invalid_ones(self):
        found = self.check(settings(), hashes="text", passwords={"gone": "x"})

        assert {finding.severity for finding in found} == {"error"}


class TestFindings:
    def test_complete_host_has_no_findings(self):
        plan = plan_of(settings())

        assert plan.findings == ()

    def test_plan_contains_the_warnings_of_check_settings(self):
        plan = plan_of(settings(), secrets={"hashes": {"gone": HASH}})

        assert [finding.path for finding in plan.warnings] == ["sentient-mqtt:hashes"]
        assert plan.errors == ()

    def test_missing_docker_is_the_only_error(self):
        plan = plan_of(settings(), {("docker", "-"): "absent", ("firewall", "nft"): "absent"})

        (finding,) = plan.errors
        assert "the docker command is missing" in finding.message

    def test_host_errors_come_before_firewall_errors(self):
        taken = {("port", "1883"): "another program", ("firewall", "nft"): "absent"}
        declared = settings(firewall={"backend": "nftables"})

        assert len(plan_of(declared, {("firewall", "nft"): "absent"}).errors) == 1
        assert "is in use on the host" in plan_of(declared, taken).errors[0].message

    def test_reserved_port_in_use_is_an_error(self):
        plan = plan_of(settings(network="host"), {("port", "11883"): "another program"})

        assert [finding.path for finding in plan.errors] == ["sentient-mqtt:broker.health.port"]

    def test_flushed_rules_are_a_warning_and_a_new_revision(self):
        plan = plan_of(settings(), {("rules", CONTAINER): "missing", ("applied", "firewall"): "3"})

        assert plan.revisions["firewall"] == "4"
        assert "are missing on the host" in plan.warnings[0].message
        assert plan.errors == ()

    def test_unprobed_host_has_no_findings(self):
        plan = make_plan(
            settings(), {}, HostFacts(facts={}, looked_at=False), "dev", NOW, state=StateRecord()
        )

        assert plan.findings == ()
        assert set(plan.revisions.values()) == {"1"}


class TestImpact:
    def test_unchanged_settings_have_no_impact(self):
        plan = plan_of(settings(), running(settings()))

        assert plan.impact.action == "none"
        assert plan.disconnected == ()
        assert plan.notes == ()

    def test_rotation_disconnects_only_its_user(self):
        before = settings({"sensor": {"write": ["a"]}, "lamp": {"read": ["a"]}})
        after = settings({"sensor": {"write": ["a"]}, "lamp": {"read": ["a"], "generation": 2}})

        plan = plan_of(after, running(before))

        assert plan.impact.action == "reload"
        assert plan.disconnected == ("lamp",)
        (note,) = plan.notes
        assert "clients of lamp. Nobody else" in note.message

    def test_a_replacement_disconnects_everybody(self):
        before = settings({"sensor": {"write": ["a"]}})
        after = settings({"sensor": {"write": ["a"]}}, stopGrace=17)

        plan = plan_of(after, running(before))

        assert plan.impact.action == "replace"
        assert set(plan.disconnected) == {"sensor", "healthcheck"}


class TestTexts:
    def test_a_new_container_has_the_reserved_listener(self):
        plan = plan_of(settings())

        assert plan.reserved
        assert plan.conf == render_conf(plan.broker, reserved=True)
        assert plan.start_digest == start_digest(plan.broker, plan.image, reserved=True)

    def test_container_of_version_0_1_keeps_conf_and_digest(self):
        facts = running(settings())
        plan = plan_of(settings(), facts)

        assert not plan.reserved
        assert plan.conf == render_conf(plan.broker)
        assert plan.start_digest == facts["configuration", CONTAINER]

    def test_the_acl_has_a_block_for_each_user(self):
        plan = plan_of(settings({"sensor": {"write": ["a/b"]}}))

        assert "user sensor\ntopic write a/b\n" in plan.acl
        assert set(plan.stamps) == {"sensor", "healthcheck", ":rules"}

    def test_fallback_image_runs_if_the_declared_one_is_absent(self):
        declared = settings(allowStandIn=True)
        absent = {
            ("image", declared.broker.image): "absent",
            ("standin", "localhost/mosquitto-from-debian:*-trixie"): "localhost/m:1",
        }

        assert plan_of(declared, absent).image == "localhost/m:1"
        assert plan_of(settings(), absent).image == declared.broker.image

    def test_stack_without_networks_and_monitoring_has_no_firewall_and_no_exporter(self):
        plan = plan_of(settings(listeners={"mqtt": {"port": 1883}}))

        assert plan.firewall is None
        assert plan.exporter_image == ""


class TestLogins:
    def plan(self):
        users = {
            "sensor": {"write": ["a"]},
            "turns": {"read": ["a"], "rotation": "overlap", "generation": 2},
            "chosen": {"read": ["a"], "password": "supplied"},
            "former": {"read": ["a"], "password": "adopted"},
        }
        secrets = {"passwords": {"chosen": "correct horse battery"}, "hashes": {"former": HASH}}
        return plan_of(settings(users), secrets=secrets)

    def test_generated_logins_and_health_check_have_generations(self):
        assert self.plan().generations == {
            "sensor": "1",
            "turns": "1",
            "turns-green": "2",
            "healthcheck": "1",
        }

    def test_supplied_and_adopted_secrets_are_in_the_plan(self):
        assert self.plan().external_passwords == {"chosen": "correct horse battery"}
        assert self.plan().adopted_hashes == {"former": HASH}

    def test_active_login_is_the_new_one_during_an_overlap(self):
        assert self.plan().active_logins["turns"] == "turns-green"
        assert set(self.plan().known_logins) == {"sensor", "turns", "chosen"}

    def test_users_with_passwords_unfit_for_env_files_are_listed(self):
        assert set(self.plan().misread_in_env_files) == {"chosen"}

    def test_a_plan_does_not_print_secrets(self):
        assert "correct horse" not in repr(self.plan())
