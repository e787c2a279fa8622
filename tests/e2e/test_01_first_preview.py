"""Before anything is there: a preview shows all of it and makes none of it."""


def test_a_first_preview_works_and_touches_nothing(unborn):
    shown = unborn.preview("--diff").output
    assert "docker:index/container:Container: (create)" in shown
    assert "readOnly" in shown
    assert "user admin" in shown
    assert not unborn.is_there()
    assert list(unborn.root.iterdir()) == []
