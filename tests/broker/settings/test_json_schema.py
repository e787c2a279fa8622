"""The schema accepts every file that a preview accepts, and rejects unknown keys and types."""

import copy
import json

import pytest
import yaml
from declared import ROOT
from jsonschema import Draft202012Validator

from broker.settings.json_schema import render_json_schema

PAGE = ROOT / "schema" / "stack.schema.json"
VALIDATOR = Draft202012Validator(json.loads(render_json_schema()))


def stack_file(name):
    return yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text(encoding="utf-8"))


def errors(content):
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(content)]


def changed(change):
    content = copy.deepcopy(stack_file("prod"))
    change({key.partition(":")[2]: value for key, value in content["config"].items()})
    return content


def test_committed_schema_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == render_json_schema(), "run `make docs`"


def test_schema_is_a_valid_json_schema():
    Draft202012Validator.check_schema(json.loads(render_json_schema()))


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_schema_accepts_the_stack_files(name):
    assert errors(stack_file(name)) == []


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_stack_files_refer_to_the_schema(name):
    first, *_ = (ROOT / f"Pulumi.{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=schema/stack.schema.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["users"]["admin"].update(generation=3),
        lambda raw: raw["users"]["admin"].update(generation="3"),
        lambda raw: raw["users"]["admin"].update(roles=["monitor", {"controller": {"room": "a"}}]),
        lambda raw: raw["users"]["admin"].update(roles=[{"role": "monitor", "with": {}}]),
        lambda raw: raw["broker"].update(backups=None),
    ],
    ids=["generation-number", "generation-text", "role-short", "role-long", "no-backups"],
)
def test_schema_accepts_what_the_model_accepts(change):
    assert errors(changed(change)) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda raw: raw["broker"].update(adress="a"), "$.config['sentient-mqtt:broker']"),
        (lambda raw: raw["broker"].pop("address"), "$.config['sentient-mqtt:broker']"),
        (lambda raw: raw["broker"]["limits"].update(memory="2G"), "limits.memory"),
        (lambda raw: raw["users"]["admin"].update(rotation="later"), "admin.rotation"),
        (lambda raw: raw["users"]["admin"].update(generation=1.5), "admin.generation"),
        (lambda raw: raw["users"]["admin"].update(roles=[{"a": {}, "b": {}}]), "admin.roles[0]"),
    ],
)
def test_schema_rejects_what_the_model_rejects(change, path):
    found = errors(changed(change))
    assert len(found) == 1
    assert path in found[0]


def test_schema_rejects_unknown_settings_and_ignores_other_projects():
    content = stack_file("dev")
    content["config"]["aws:region"] = "eu-central-1"
    assert errors(content) == []
    content["config"]["sentient-mqtt:user"] = {}
    assert len(errors(content)) == 1


def test_schema_accepts_only_encrypted_secrets():
    content = stack_file("dev")
    content["config"]["sentient-mqtt:passwords"] = {"admin": {"secure": "v1:abc"}}
    assert errors(content) == []
    content["config"]["sentient-mqtt:passwords"] = {"admin": "plain text"}
    assert errors(content)
