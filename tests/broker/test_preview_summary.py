"""A recorded preview, told in names and counts; no value in it can reach the comment."""

import json
from pathlib import Path

from broker.preview_summary import read_plan, render_plan

RECORDED = json.loads(
    (Path(__file__).resolve().parents[1] / "recorded" / "preview.json").read_text(encoding="utf-8")
)
# All that the comment is made of.
NAMES = {"op", "urn"}


def test_the_plan_names_what_changes_and_why():
    plan = read_plan(RECORDED)

    steps = {each.name: each for each in plan.steps}
    assert steps["broker"].operation == "replace"
    assert steps["broker"].because == ("labels",)
    assert steps["credentials-sentient_api_prod"].because == ("keepers",)
    assert steps["credentials-sentient_executor_prod"].operation == "delete"
    assert "credentials-admin" not in steps
    assert "| replace | Container `broker` | `labels` |" in render_plan(plan)


def test_no_value_reaches_the_comment_wherever_it_stands():
    """Every text but names is taken for a secret, whether it is marked as one or not."""
    marked = _with_secrets(RECORDED)

    assert "s3cret" in json.dumps(marked)
    assert "s3cret" not in render_plan(read_plan(marked))
    assert render_plan(read_plan(marked)) == render_plan(read_plan(RECORDED))


def test_an_empty_preview_says_so():
    assert render_plan(read_plan({"steps": []})) == "The preview changes nothing.\n"


def _with_secrets(value, key=""):
    if isinstance(value, dict):
        return {each: _with_secrets(inner, each) for each, inner in value.items()}
    if isinstance(value, list):
        # These two are lists of names of inputs.
        names = key in ("diffReasons", "replaceReasons")
        return value if names else [_with_secrets(each) for each in value]
    return value if key in NAMES or not isinstance(value, str) else f"s3cret {value}"
