"""What `./brokerctl rotate` writes into the stack file, for whom, and whom it leaves alone."""

import re

import pytest
from declared import smallest

from bootstrap.backend import Backend
from broker.settings.stack_settings import Settings
from cli.refusals import Refusal
from cli.rotate import following, raise_generations, revoke_previous

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
def test_each_is_rotated_where_it_stands(name, written):
    assert raised(name) == {f"sentient-mqtt:{key}": value for key, value in written.items()}


def test_all_are_all_but_those_whose_password_a_person_chose():
    keys = raised()

    assert not any("person" in key for key in keys)
    assert {re.split(r"[.:\[\]\"]+", key)[2] for key in keys} == {
        *("plain", "two-logins", "found", "teensy")
    }


def test_a_fleet_with_a_users_name_is_among_them_and_can_be_named():
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
    ("name", "said"),
    [
        ("person", "and say another users.person.generation"),
        ("person", "its password is supplied. Set another one: pulumi config set --secret"),
        ("plane", "no such user or fleet in Pulumi.dev.yaml. Did you mean 'plain'?"),
        ("gone", "no such user or fleet"),
        ("zzzz", "There are: plain, two-logins, person, found, teensy."),
    ],
)
def test_who_can_not_be_rotated_is_told_why(name, said):
    with pytest.raises(Refusal) as refused:
        raised(name)

    assert said in str(refused.value)


def test_an_overlap_ends_for_those_who_have_one():
    written = {'sentient-mqtt:users["two-logins"].previous': "revoke"}

    assert revoke_previous(SETTINGS, ["two-logins"], "f") == written
    assert revoke_previous(SETTINGS, [], "f") == written
    with pytest.raises(Refusal, match=r"has no rotation 'overlap' in f\. There are: two-logins\."):
        revoke_previous(SETTINGS, ["plain"], "f")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("1", "2"),
        ("9", "10"),
        ("2026-11", "2026-11.1"),
        ("2026-11.1", "2026-11.2"),
        ("a.b", "a.b.1"),
    ],
)
def test_the_generation_that_follows(now, then):
    assert following(now) == then


class TestTheCommand:
    @pytest.fixture
    def rotate(self, desk, monkeypatch):
        """``rotate(case)``: a pulumi that writes the generation, and then does as *case* says."""

        def run(case="", answer=""):
            desk.pulumi(
                f'case "$*" in *set-all*) sed -i "s/^    sensor:/&\\n      generation: 2/" '
                f'"{desk.file}" ;; {case} esac'
            )
            monkeypatch.setattr("builtins.input", lambda _: answer)
            desk.run("rotate", "--all")

        return run

    def test_it_shows_a_preview_and_brings_it_about(self, desk, rotate, capsys):
        rotate()

        assert "generation: 2" in desk.file.read_text()
        assert [each.split()[0] for each in desk.calls()[-2:]] == ["preview", "up"]
        assert (
            "Clients of these logins will be disconnected:\n  sensor\n" in capsys.readouterr().out
        )

    def test_a_preview_that_fails_leaves_the_stack_file_as_it_was(self, desk, rotate, capsys):
        before = desk.file.read_text()

        with pytest.raises(Refusal, match="pulumi preview failed"):
            rotate("*preview*) exit 1 ;;")

        assert desk.file.read_text() == before
        assert "Pulumi.test.yaml: is as it was before." in capsys.readouterr().out

    def test_so_does_a_person_who_says_no(self, desk, rotate):
        desk.backend = Backend(local_passphrase=False)
        before = desk.file.read_text()

        with pytest.raises(Refusal, match="nothing was rotated: the answer was not yes"):
            rotate(answer="no")

        assert desk.file.read_text() == before
        assert not [each for each in desk.calls() if each.startswith("up")]
        rotate(answer="yes")
        assert desk.calls()[-1].startswith("up")

    def test_an_up_that_fails_keeps_what_it_may_have_begun(self, desk, rotate):
        with pytest.raises(Refusal, match=r"\./brokerctl up --stack test goes on from here"):
            rotate('"--non-interactive up "*) exit 1 ;;')

        assert "generation: 2" in desk.file.read_text()

    def test_all_names_those_that_it_leaves(self, desk, rotate, capsys):
        text = desk.file.read_text()
        person = "    lamp:\n      password: supplied\n      read: [a]\n"
        desk.file.write_text(text.replace("    sensor:", f"{person}    sensor:", 1))

        rotate()

        left = "Left as they are, for a person chose the password: lamp."
        assert left in capsys.readouterr().out
