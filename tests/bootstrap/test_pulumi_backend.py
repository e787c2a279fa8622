"""A state backend and a passphrase are created for dev; other stacks must configure theirs."""

import stat
from pathlib import Path

import pytest

from bootstrap.pulumi_backend import NoBackend, ensure_backend


@pytest.fixture
def home(tmp_path):
    """The environment of a user who has never run Pulumi."""
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
    def test_backend_and_passphrase_are_created_readable_by_the_owner_alone(self, home):
        backend = ensure_backend("dev", home)

        assert backend.local_passphrase
        assert backend.environment == {
            "PULUMI_BACKEND_URL": f"file://{state(home)}/pulumi",
            "PULUMI_DIY_BACKEND_ZSTD": "true",
            "PULUMI_CONFIG_PASSPHRASE_FILE": f"{state(home)}/passphrase",
        }
        assert mode(state(home)) == 0o700
        assert mode(state(home) / "passphrase") == 0o600
        assert len((state(home) / "passphrase").read_text().strip()) >= 40
        assert str(state(home)) in backend.origin

    def test_the_passphrase_is_created_once(self, home):
        ensure_backend("dev", home)
        first = (state(home) / "passphrase").read_text()

        assert ensure_backend("dev", home).local_passphrase
        assert (state(home) / "passphrase").read_text() == first

    def test_in_a_shell_with_the_output_of_env_the_passphrase_is_still_the_local_one(self, home):
        """Otherwise `up` would ask, and stop without a terminal."""
        first = ensure_backend("dev", home)
        again = ensure_backend("dev", {**home, **first.environment})

        assert again.local_passphrase
        assert again.environment == {
            "PULUMI_CONFIG_PASSPHRASE_FILE": first.environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
        }
        other = {"PULUMI_CONFIG_PASSPHRASE_FILE": "/elsewhere/passphrase"}
        assert not ensure_backend("dev", {**home, **first.environment, **other}).local_passphrase

    def test_each_home_has_its_own_passphrase(self, tmp_path):
        for name in ("a", "b"):
            ensure_backend("dev", {"HOME": str(tmp_path / name)})

        first, second = (state({"HOME": str(tmp_path / name)}) / "passphrase" for name in "ab")
        assert first.read_text() != second.read_text()

    def test_the_passphrase_is_not_in_the_environment(self, home):
        backend = ensure_backend("dev", home)

        passphrase = (state(home) / "passphrase").read_text().strip()
        assert passphrase not in str(backend)

    def test_the_mode_of_an_existing_state_folder_is_corrected(self, home):
        state(home).mkdir(parents=True, mode=0o755)
        state(home).chmod(0o755)

        ensure_backend("dev", home)

        assert mode(state(home)) == 0o700

    def test_the_state_folder_follows_xdg_state_home(self, home, tmp_path):
        backend = ensure_backend("dev", home | {"XDG_STATE_HOME": str(tmp_path / "x")})

        assert backend.environment["PULUMI_BACKEND_URL"] == (
            f"file://{tmp_path}/x/sentient-mqtt/pulumi"
        )

    def test_for_a_configured_backend_only_a_passphrase_is_created(self, home):
        backend = ensure_backend("dev", home | {"PULUMI_BACKEND_URL": "file:///mine"})

        assert set(backend.environment) == {"PULUMI_CONFIG_PASSPHRASE_FILE"}
        assert backend.local_passphrase

    def test_for_a_configured_passphrase_only_a_backend_is_created(self, home):
        backend = ensure_backend("dev", home | {"PULUMI_CONFIG_PASSPHRASE": "mine"})

        assert set(backend.environment) == {"PULUMI_BACKEND_URL", "PULUMI_DIY_BACKEND_ZSTD"}
        assert not backend.local_passphrase
        assert not (state(home) / "passphrase").exists()

    @pytest.mark.parametrize(
        "name",
        [
            "PULUMI_DIY_BACKEND_GZIP",
            "PULUMI_DIY_BACKEND_ZSTD",
            "PULUMI_SELF_MANAGED_STATE_GZIP",
            "PULUMI_SELF_MANAGED_STATE_ZSTD",
        ],
    )
    def test_a_compression_that_the_user_chose_stays(self, home, name):
        """Pulumi refuses two."""
        backend = ensure_backend("dev", home | {name: "false"})

        assert "PULUMI_DIY_BACKEND_ZSTD" not in backend.environment


@pytest.mark.parametrize("stack", ["dev", "prod"])
class TestConfigured:
    def assert_nothing_is_created(self, stack, home, **more):
        backend = ensure_backend(stack, home | {"PULUMI_BACKEND_URL": "s3://mine", **more})
        assert not backend.local_passphrase
        assert backend.environment == {}
        assert not state(home).exists()

    def test_with_a_passphrase(self, stack, home):
        self.assert_nothing_is_created(stack, home, PULUMI_CONFIG_PASSPHRASE="mine")

    def test_with_a_passphrase_in_a_file(self, stack, home):
        self.assert_nothing_is_created(stack, home, PULUMI_CONFIG_PASSPHRASE_FILE="/mine")

    def test_with_an_empty_passphrase(self, stack, home):
        self.assert_nothing_is_created(stack, home, PULUMI_CONFIG_PASSPHRASE="")

    def test_pulumis_service_needs_no_passphrase(self, stack, home):
        self.assert_nothing_is_created(stack, home, PULUMI_BACKEND_URL="https://api.pulumi.com")

    def test_a_login_counts_as_a_backend(self, stack, home):
        logged_in(home, "https://api.pulumi.com")
        assert ensure_backend(stack, home).environment == {}

    def test_a_cloud_key_needs_no_passphrase(self, stack, home):
        environ = home | {"PULUMI_BACKEND_URL": "s3://mine"}
        assert ensure_backend(stack, environ, "awskms://alias/mine").environment == {}
        assert not state(home).exists()


class TestProd:
    def error_message(self, home, **more):
        with pytest.raises(NoBackend) as error:
            ensure_backend("prod", home | more)
        assert not state(home).exists()
        message = str(error.value)
        assert message.startswith("--stack prod: ")
        assert message.endswith("whoever loses them loses every password.")
        return message

    def test_without_a_backend_the_message_says_how_to_log_in(self, home):
        message = self.error_message(home)

        assert "no state backend is configured" in message
        assert "pulumi login s3://" in message
        assert "PULUMI_BACKEND_URL" in message

    def test_without_a_passphrase_the_message_names_the_variable(self, home):
        message = self.error_message(home, PULUMI_BACKEND_URL="s3://mine")

        assert "no passphrase is set" in message
        assert "PULUMI_CONFIG_PASSPHRASE_FILE" in message

    def test_a_passphrase_without_a_backend_is_not_enough(self, home):
        message = self.error_message(home, PULUMI_CONFIG_PASSPHRASE="mine")

        assert "no state backend is configured" in message

    @pytest.mark.parametrize("provider", ["", "passphrase", "default"])
    def test_the_passphrase_provider_needs_a_passphrase(self, home, provider):
        with pytest.raises(NoBackend, match="no passphrase is set"):
            ensure_backend("prod", home | {"PULUMI_BACKEND_URL": "s3://mine"}, provider)

    @pytest.mark.parametrize(
        "content", ["", "{}", "not json", '{"current": null}', '{"current": ""}']
    )
    def test_credentials_without_a_backend_do_not_count(self, home, content):
        logged_in(home, "x")
        Path(home["HOME"], ".pulumi", "credentials.json").write_text(content)

        assert "no state backend is configured" in self.error_message(home)

    def test_a_login_in_pulumi_home_counts(self, home, tmp_path):
        logged_in(home, "https://api.pulumi.com")
        elsewhere = Path(home["HOME"], ".pulumi").rename(tmp_path / "elsewhere")

        environ = {"HOME": str(tmp_path / "empty"), "PULUMI_HOME": str(elsewhere)}
        assert ensure_backend("prod", environ).environment == {}
