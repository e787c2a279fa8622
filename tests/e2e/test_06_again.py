"""Run again, nothing changes: not by `up`, not by `refresh`, not by a preview."""

import pytest
import yaml

SAME = "--expect-no-changes"


@pytest.fixture(autouse=True)
def _same_broker(untouched):
    """Each of these leaves the broker as it is."""


def test_a_second_up_changes_nothing(site):
    assert "unchanged" in site.up(SAME).output


def test_a_refresh_changes_nothing(site):
    site.refresh(SAME)


def test_a_preview_after_the_refresh_changes_nothing(site):
    site.preview(SAME)


def test_the_salt_of_the_passphrase_may_be_missing_in_the_stack_file(site):
    """The state has it too: `make` keeps it out of the repository for a phrase of its own."""

    def drop_salt():
        content = yaml.safe_load(site.stack_file.read_text())
        content.pop("encryptionsalt", None)
        site.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    before = site.outputs()
    drop_salt()
    site.preview(SAME)
    drop_salt()
    site.up(SAME)
    drop_salt()
    assert site.outputs() == before
    drop_salt()


def test_a_wrong_passphrase_is_refused(site):
    wrong = {"PULUMI_CONFIG_PASSPHRASE": "a wrong one"}
    before = site.stack_file.read_text()
    for refused in (
        site.stack("output", "--show-secrets", fails=True, **wrong),
        site.preview(fails=True, **wrong),
        site.up(fails=True, **wrong),
    ):
        assert "incorrect passphrase" in refused.output
    # Pulumi has written a salt that only the wrong phrase fits.
    site.stack_file.write_text(before)
