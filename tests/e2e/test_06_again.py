"""A second `up`, a refresh and a preview change nothing."""

import pytest
import yaml

NO_CHANGES = "--expect-no-changes"


@pytest.fixture(autouse=True)
def _untouched(untouched):
    """No test of this file touches the broker or its files."""


def test_second_up_changes_nothing(site):
    assert "unchanged" in site.up(NO_CHANGES).output


def test_refresh_changes_nothing(site):
    site.refresh(NO_CHANGES)


def test_preview_after_a_refresh_changes_nothing_and_disconnects_nobody(site):
    assert "Disconnected at once" not in site.preview(NO_CHANGES).output


def test_salt_of_the_passphrase_may_be_missing_in_the_stack_file(site):
    """The state has it, too; `./brokerctl` removes it from the stack file of dev."""

    def drop_salt():
        content = yaml.safe_load(site.stack_file.read_text())
        content.pop("encryptionsalt", None)
        site.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    before = site.outputs()
    drop_salt()
    site.preview(NO_CHANGES)
    drop_salt()
    site.up(NO_CHANGES)
    drop_salt()
    assert site.outputs() == before
    drop_salt()


def test_wrong_passphrase_is_refused(site):
    wrong = {"PULUMI_CONFIG_PASSPHRASE": "a wrong one"}
    before = site.stack_file.read_text()
    for failed in (
        site.stack("output", "--show-secrets", fails=True, **wrong),
        site.preview(fails=True, **wrong),
        site.up(fails=True, **wrong),
    ):
        assert "incorrect passphrase" in failed.output
    # Pulumi has written a salt for the wrong passphrase.
    site.stack_file.write_text(before)
