"""`./brokerctl rotate`: the keys that it changes in the stack file, and for which users."""

import re

import pytest
from declared import smallest

from bootstrap.pulumi_backend import Backend
from broker.settings.stack_settings import Settings
from cli.errors import CommandError
from cli.users.rotate import next_generation, raise_generations, revoke_previous

FILTERS = {"write": ["paragon/x"]}
RAW = smallest() | {
    "users": {
        "plain": FILTERS | {"generation": "2026-11"},
        "two-logins": FILTERS | {"rotation": "overlap", "generation": 4, "previous": "revoke"},
        "person": FILTERS | {"password": "supplied"},
        "found": FILTERS | {"password": "adopted"},
    },
    "fleets": {
        "teensy": {
            "names": ["t-1", "t-2", "gone"],
            "write": ["paragon/%u/x"],
            "generation": 3,
            "overrides": {"t-2": {"generation": 7}, "gone": {"revoked": True}},
        }
    },
}
SETTINGS = Settings.parse(RAW)


def raised(*named):
    return raise_generations(SETTINGS, list(named), "Pulumi.dev.yaml")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", {"users.plain.generation": "2026-11.1"}),
        (
            "two-logins",
            {'users["two-logins"].generation': "5", 'users["two-logins"].previous': "keep"},
        ),
        ("found", {"users.found.generation": "2", "users.found.password": "generated"}),
        ("teensy", {"fleets.teensy.generation": "4"}),
        ("t-1", {'fleets.teensy.overrides["t-1"].generation': "4"}),
        ("t-2", {'fleets.teensy.overrides["t-2"].generation': "8"}),
    ],
)
def test_a_rotation_changes_the_generation_of_the_named_user(name, written):
    assert raised(name) == {f"sentient-mqtt:{key}": value for key, value in written.items()}


def test_all_excludes_users_with_a_supplied_password():
    keys = raised()

    assert not any("person" in key for key in keys)
    assert {re.split(r"[.:\[\]\"]+", key)[2] for key in keys} == {
        *("plain", "two-logins", "found", "teensy")
    }


def test_a_fleet_with_the_name_of_a_user_is_rotated_and_can_be_named():
    raw = smallest() | {
        "users": {"teensy": FILTERS},
        "fleets": {"teensy": {"names": ["t-1"], "write": ["paragon/%u/x"]}},
    }
    user = {"sentient-mqtt:users.teensy.generation": "2"}
    fleet = {"sentient-mqtt:fleets.teensy.generation": "2"}

    assert raise_generations(Settings.parse(raw), [], "f") == user | fleet
    assert raise_generations(Settings.parse(raw), ["teensy"], "f") == user
    assert raise_generations(Settings.parse(raw), ["fleet.teensy"], "f") == fleet


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("person", "and change users.person.generation"),
        ("person", "its password is supplied. Set another password: pulumi config set --secret"),
        ("plane", "no such user or fleet in Pulumi.dev.yaml. Did you mean 'plain'?"),
        ("gone", "no such user or fleet"),
        ("zzzz", "There are: plain, two-logins, person, found, teensy."),
    ],
)
def test_a_name_that_cannot_be_rotated_is_an_error(name, message):
    with pytest.raises(CommandError) as error:
        raised(name)

    assert message in str(error.value)


def test_revoke_previous_changes_users_with_overlapping_rotation():
    written = {'sentient-mqtt:users["two-logins"].previous': "revoke"}

    assert revoke_previous(SETTINGS, ["two-logins"], "f") == written
    assert revoke_previous(SETTINGS, [], "f") == written
    with pytest.raises(
        CommandError, match=r"has no rotation 'overlap' in f\. There are: two-logins\."
    ):
        revoke_previous(SETTINGS, ["plain"], "f")


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("1", "2"),
        ("9", "10"),
        ("2026-11", "2026-11.1"),
        ("2026-11.1", "2026-11.2"),
        ("a.b", "a.b.1"),
    ],
)
def test_next_generation(current, following):
    assert next_generation(current) == following


class TestTheCommand:
    @pytest.fixture
    def rotate(self, desk, monkeypatch):
        """``rotate(case)``: run the command; pulumi writes the generation, then runs *case*."""

        def run(case="", answer=""):
            desk.pulumi(
                f'case "$*" in *set-all*) sed -i "s/^    sensor:/&\\n      generation: 2/" '
                f'"{desk.file}" ;; {case} esac'
            )
            monkeypatch.setattr("builtins.input", lambda _: answer)
            desk.run("rotate", "--all")

        return run

    def test_the_preview_is_shown_and_applied(self, desk, rotate, capsys):
        rotate()

        assert "generation: 2" in desk.file.read_text()
        assert [call.split()[0] for call in desk.calls()[-3:]] == ["preview", "up", "stack"]
        assert (
            "Clients of these logins will be disconnected:\n  sensor\n" in capsys.readouterr().out
        )

    def test_a_failed_preview_restores_the_stack_file(self, desk, rotate, capsys):
        before = desk.file.read_text()

        with pytest.raises(CommandError, match="pulumi preview failed"):
            rotate("*preview*) exit 1 ;;")

        assert desk.file.read_text() == before
        assert "Pulumi.test.yaml: restored." in capsys.readouterr().out

    def test_an_answer_other_than_yes_restores_the_stack_file(self, desk, rotate):
        desk.backend = Backend(local_passphrase=False)
        before = desk.file.read_text()

        with pytest.raises(CommandError, match="nothing was rotated: the answer was not yes"):
            rotate(answer="no")

        assert desk.file.read_text() == before
        assert not [call for call in desk.calls() if call.startswith("up")]
        rotate(answer="yes")
        assert desk.calls()[-2].startswith("up")

    def test_a_failed_up_keeps_the_changed_stack_file(self, desk, rotate):
        with pytest.raises(CommandError, match=r"\./brokerctl up --stack test applies them"):
            rotate('"--non-interactive up "*) exit 1 ;;')

        assert "generation: 2" in desk.file.read_text()

    def test_all_names_the_skipped_users(self, desk, rotate, capsys):
        text = desk.file.read_text()
        person = "    lamp:\n      password: supplied\n      read: [a]\n"
        desk.file.write_text(text.replace("    sensor:", f"{person}    sensor:", 1))

        rotate()

        message = "Not rotated, because their passwords are supplied: lamp."
        assert message in capsys.readouterr().out
