"""dev gets a state backend and a passphrase made up here; every other stack's are its people's."""

import stat
from pathlib import Path

import pytest

from bootstrap.backend import NoBackend, ensure_backend


@pytest.fixture
def home(tmp_path):
    """The environment of somebody who has never used Pulumi."""
    return {"HOME": str(tmp_path)}


def logged_in(home, url):
    folder = Path(home["HOME"], ".pulumi")
    folder.mkdir()
    (folder / "credentials.json").write_text(f'{{"current": "{url}"}}')


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def state(home):
    return Path(home["HOME"], ".local", "state", "sentient-mqtt")


class TestDev:
    def test_both_are_made_up_and_nobody_else_may_read_them(self, home):
        backend = ensure_backend("dev", home)

        assert backend.ours
        assert backend.environment == {
            "PULUMI_BACKEND_URL": f"file://{state(home)}/pulumi",
            "PULUMI_CONFIG_PASSPHRASE_FILE": f"{state(home)}/passphrase",
        }
        assert mode(state(home)) == 0o700
        assert mode(state(home) / "passphrase") == 0o600
        assert len((state(home) / "passphrase").read_text().strip()) >= 40
        assert str(state(home)) in backend.origin

    def test_a_passphrase_is_made_up_once(self, home):
        ensure_backend("dev", home)
        first = (state(home) / "passphrase").read_text()

        assert ensure_backend("dev", home).ours
        assert (state(home) / "passphrase").read_text() == first

    def test_each_home_has_its_own(self, tmp_path):
        for name in ("a", "b"):
            ensure_backend("dev", {"HOME": str(tmp_path / name)})

        one, other = (state({"HOME": str(tmp_path / each)}) / "passphrase" for each in "ab")
        assert one.read_text() != other.read_text()

    def test_no_passphrase_is_in_the_environment(self, home):
        backend = ensure_backend("dev", home)

        phrase = (state(home) / "passphrase").read_text().strip()
        assert phrase not in str(backend)

    def test_a_state_folder_that_others_could_read_is_closed(self, home):
        state(home).mkdir(parents=True, mode=0o755)
        state(home).chmod(0o755)

        ensure_backend("dev", home)

        assert mode(state(home)) == 0o700

    def test_the_state_folder_is_where_xdg_wants_it(self, home, tmp_path):
        backend = ensure_backend("dev", home | {"XDG_STATE_HOME": str(tmp_path / "x")})

        assert backend.environment["PULUMI_BACKEND_URL"] == (
            f"file://{tmp_path}/x/sentient-mqtt/pulumi"
        )

    def test_a_backend_of_ones_own_gets_a_passphrase_and_no_other_backend(self, home):
        backend = ensure_backend("dev", home | {"PULUMI_BACKEND_URL": "file:///mine"})

        assert set(backend.environment) == {"PULUMI_CONFIG_PASSPHRASE_FILE"}
        assert backend.ours

    def test_a_passphrase_of_ones_own_gets_a_backend_and_no_other_passphrase(self, home):
        backend = ensure_backend("dev", home | {"PULUMI_CONFIG_PASSPHRASE": "mine"})

        assert set(backend.environment) == {"PULUMI_BACKEND_URL"}
        assert not backend.ours
        assert not (state(home) / "passphrase").exists()


@pytest.mark.parametrize("stack", ["dev", "prod"])
class TestOnesOwn:
    def own(self, stack, home, **more):
        backend = ensure_backend(stack, home | {"PULUMI_BACKEND_URL": "s3://mine", **more})
        assert not backend.ours
        assert backend.environment == {}
        assert not state(home).exists()

    def test_with_a_passphrase(self, stack, home):
        self.own(stack, home, PULUMI_CONFIG_PASSPHRASE="mine")

    def test_with_a_passphrase_in_a_file(self, stack, home):
        self.own(stack, home, PULUMI_CONFIG_PASSPHRASE_FILE="/mine")

    def test_with_an_empty_passphrase_which_somebody_meant(self, stack, home):
        self.own(stack, home, PULUMI_CONFIG_PASSPHRASE="")

    def test_pulumis_own_service_keeps_keys_and_needs_none(self, stack, home):
        self.own(stack, home, PULUMI_BACKEND_URL="https://api.pulumi.com")

    def test_a_login_counts_like_a_variable(self, stack, home):
        logged_in(home, "https://api.pulumi.com")
        assert ensure_backend(stack, home).environment == {}

    def test_a_clouds_keys_need_no_passphrase(self, stack, home):
        environ = home | {"PULUMI_BACKEND_URL": "s3://mine"}
        assert ensure_backend(stack, environ, "awskms://alias/mine").environment == {}
        assert not state(home).exists()


class TestProd:
    def refused(self, home, **more):
        with pytest.raises(NoBackend) as wrong:
            ensure_backend("prod", home | more)
        assert not state(home).exists()
        said = str(wrong.value)
        assert said.startswith("--stack prod: ")
        assert said.endswith("whoever loses it loses every password.")
        return said

    def test_without_a_backend_it_is_told_how_to_log_in(self, home):
        said = self.refused(home)

        assert "no state backend is configured" in said
        assert "pulumi login s3://" in said
        assert "PULUMI_BACKEND_URL" in said

    def test_without_a_passphrase_it_is_told_where_to_put_one(self, home):
        said = self.refused(home, PULUMI_BACKEND_URL="s3://mine")

        assert "no passphrase is set" in said
        assert "PULUMI_CONFIG_PASSPHRASE_FILE" in said

    def test_a_passphrase_alone_is_no_backend(self, home):
        said = self.refused(home, PULUMI_CONFIG_PASSPHRASE="mine")

        assert "no state backend is configured" in said

    @pytest.mark.parametrize("provider", ["", "passphrase", "default"])
    def test_a_provider_that_is_a_passphrase_needs_one(self, home, provider):
        with pytest.raises(NoBackend, match="no passphrase is set"):
            ensure_backend("prod", home | {"PULUMI_BACKEND_URL": "s3://mine"}, provider)

    @pytest.mark.parametrize(
        "content", ["", "{}", "not json", '{"current": null}', '{"current": ""}']
    )
    def test_credentials_that_name_no_backend_are_none(self, home, content):
        logged_in(home, "x")
        Path(home["HOME"], ".pulumi", "credentials.json").write_text(content)

        assert "no state backend is configured" in self.refused(home)

    def test_a_login_kept_elsewhere_counts(self, home, tmp_path):
        logged_in(home, "https://api.pulumi.com")
        elsewhere = Path(home["HOME"], ".pulumi").rename(tmp_path / "elsewhere")

        environ = {"HOME": str(tmp_path / "empty"), "PULUMI_HOME": str(elsewhere)}
        assert ensure_backend("prod", environ).environment == {}
