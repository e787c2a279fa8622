"""The summary of a recorded preview contains names and counts, and no value."""

import json
from pathlib import Path

from broker.preview_summary import read_plan, render_plan

RECORDED = json.loads(
    (Path(__file__).resolve().parents[1] / "recorded" / "preview.json").read_text(encoding="utf-8")
)
# The only keys whose values are in the comment.
NAMES = {"op", "urn"}


def test_summary_names_changed_resources_and_inputs():
    plan = read_plan(RECORDED)

    steps = {step.name: step for step in plan.steps}
    assert steps["broker"].operation == "replace"
    assert steps["broker"].because == ("labels",)
    assert steps["credentials-sentient_api_prod"].because == ("keepers",)
    assert steps["credentials-sentient_executor_prod"].operation == "delete"
    assert "credentials-admin" not in steps
    assert "| replace | Container `broker` | `labels` |" in render_plan(plan)


def test_summary_contains_no_value_of_the_preview():
    """Every text except names is treated as a secret, whether it is marked as one or not."""
    marked = _with_secrets(RECORDED)

    assert "s3cret" in json.dumps(marked)
    assert "s3cret" not in render_plan(read_plan(marked))
    assert render_plan(read_plan(marked)) == render_plan(read_plan(RECORDED))


def test_summary_of_an_empty_preview():
    assert render_plan(read_plan({"steps": []})) == "The preview changes nothing.\n"


def _with_secrets(value, key=""):
    if isinstance(value, dict):
        return {name: _with_secrets(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        # These lists contain names of inputs.
        names = key in ("diffReasons", "replaceReasons")
        return value if names else [_with_secrets(item) for item in value]
    return value if key in NAMES or not isinstance(value, str) else f"s3cret {value}"
