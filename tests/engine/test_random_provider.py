"""The random provider keeps passwords secret and draws them anew when a keeper changes."""

import json


def password(generation):
    return (
        f"keepers = {{'generation': {generation!r}}}\n"
        "p = RandomPassword('p', length=32, special=False, keepers=keepers)\n"
        "pulumi.export('p', p.result)\n"
    )


def shown(project):
    return json.loads(project.pulumi("stack", "output", "--json", "--show-secrets").text)["p"]


def test_a_password_is_secret_everywhere_and_shown_where_asked(project):
    said = project.up(password("1"))
    plain = shown(project)

    assert len(plain) == 32
    assert plain.isalnum()
    assert plain not in said
    assert plain not in json.dumps(project.state())
    assert project.state()["p"]["id"] == "none"


def test_a_keeper_draws_anew_and_nothing_else_does(project):
    project.up(password("1"))
    first = shown(project)
    project.up()
    assert shown(project) == first

    project.up(password("2"))

    assert shown(project) != first


def test_random_bytes_show_their_value_as_their_id(project):
    """Why no seed of ours is one."""
    project.up("RandomBytes('b', length=12)\n")

    assert len(project.state()["b"]["id"]) == 16
