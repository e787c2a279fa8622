"""Programs for developers and CI: the tests, generated pages, pull request comments."""
