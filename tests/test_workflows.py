"""The CI pipelines pass their linter, pin their actions, and call existing scripts and targets."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "pull-request.yml"
GITLAB = ROOT / ".gitlab-ci.yml"


def test_the_workflow_passes_its_linter():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "zizmor"), "--offline", "--no-progress", str(WORKFLOW)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_commit():
    used = re.findall(r"uses: (\S+)", WORKFLOW.read_text(encoding="utf-8"))

    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)


def test_a_fork_gets_no_secret():
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    secret = [step for step in steps if "secrets." in str(step)]

    assert secret
    assert all("head.repo.full_name == github.repository" in step["if"] for step in secret)
    # pull_request_target would run a fork's code with the secrets of this repository.
    assert "pull_request_target" not in WORKFLOW.read_text(encoding="utf-8")


def test_both_pipelines_call_existing_scripts_and_targets():
    lines = [
        line
        for job in yaml.safe_load(GITLAB.read_text(encoding="utf-8")).values()
        if isinstance(job, dict)
        for line in job.get("script", [])
    ]
    lines += re.findall(r"run: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    scripts = {script for line in lines for script in re.findall(r"\.ci/[a-z.]+", line)}
    # Targets of the Makefile only: another test covers brokerctl.
    targets = {target for line in lines for target in re.findall(r"make ([a-z-]+)", line)}

    assert scripts == {".ci/preview.sh", ".ci/comment.sh"}
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
