"""With `become: docker`, commands work as root in a container of the broker's own image."""

import pytest

from cli.errors import CommandError

NO_CONTAINER = r"no container mosquitto-test\. Run: \./brokerctl up --stack test"

AS_ROOT = {
    "backup": ("backup", "create"),
    "certificate": ("certificate", "sensor", "--out", "OUT"),
    "refused": ("refused",),
    "restart": ("restart",),
    "restore": ("backup", "restore", "latest"),
    "verify": ("backup", "verify"),
}


class TestImageForRoot:
    """The stack has ``become: docker``, and the login is not root."""

    @pytest.fixture
    def site(self, desk, fake_docker):
        tls = {"port": 8883, "tls": {"clientCertificates": "required"}}
        plain = {"port": 1883, "bindAddress": "127.0.0.1"}
        desk.write(
            become="docker",
            image="declared:2.1.2",
            backups={"folder": "/srv/backups"},
            listeners={"mqtt": plain, "mqtts": tls},
        )
        (desk.bin / "id").write_text("#!/bin/sh\necho 1000\n")
        (desk.bin / "id").chmod(0o755)
        desk.docker = fake_docker
        return desk

    def run(self, site, command):
        out = str(site.folder / "out")
        site.run(*(out if word == "OUT" else word for word in AS_ROOT[command]))

    @pytest.mark.parametrize("command", AS_ROOT)
    def test_it_is_the_image_of_the_container_and_not_the_declared_one(self, site, command):
        calls = site.docker('case "$1" in container) echo sha256:running ;; *) exit 1 ;; esac')

        with pytest.raises(CommandError):
            self.run(site, command)

        (run,) = [call for call in calls() if call.startswith("run ")]
        assert " sha256:running -c exec chroot /host sh -s " in run
        # No engine is needed.
        assert site.calls() == []

    # A log outlives its container.
    @pytest.mark.parametrize("command", sorted(AS_ROOT.keys() - {"refused"}))
    def test_without_a_container_no_image_is_pulled(self, site, command):
        calls = site.docker('echo "Error: No such object: mosquitto-test" >&2; exit 1')

        with pytest.raises(CommandError, match=NO_CONTAINER):
            self.run(site, command)

        assert calls() == ["container inspect --format {{.Image}} mosquitto-test"]
