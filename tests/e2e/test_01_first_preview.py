"""A first preview shows everything that `up` would create, and creates nothing."""


def test_first_preview_shows_all_resources_and_creates_nothing(new_site):
    output = new_site.preview("--diff").output
    assert "docker:index/container:Container: (create)" in output
    assert "readOnly" in output
    assert "user admin" in output
    assert not new_site.is_there()
    assert list(new_site.root.iterdir()) == []
