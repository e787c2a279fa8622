"""A temporary OpenSSH server on loopback, with a key, a port and a user of its own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from patience import eventually
from ports import free_port

SECONDS = 20


class Sshd:
    """``user`` may log in with a key, is in the group docker, and may ``sudo -n``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = f"e2e-{secrets.token_hex(4)}"
        self._sudoers = Path(f"/etc/sudoers.d/{self.user}")
        self.config = folder / "config"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def host(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.folder.mkdir()
        # '*' matches no password. Without PAM, sshd refuses an account whose password is unset.
        _run("useradd", "--create-home", "--groups", "docker", "--password", "*", self.user)
        try:
            self._allow_sudo()
            self._make_keys()
            self.config.write_text(self._client_config("known_hosts"))
            (self.folder / "stranger").write_text(self._client_config("empty"))
            (self.folder / "empty").touch()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._sudoers.unlink(missing_ok=True)
        _run("userdel", "--remove", "--force", self.user, check=False)

    def _make_keys(self) -> None:
        for name in ("host_key", "user_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        account = pwd.getpwnam(self.user)
        folder = Path(account.pw_dir, ".ssh")
        folder.mkdir(mode=0o700)
        shutil.copy(self.folder / "user_key.pub", folder / "authorized_keys")
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, account.pw_uid, account.pw_gid)
        key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def _client_config(self, known_hosts: str) -> str:
        return (
            "Host *\n"
            f"  IdentityFile {self.folder}/user_key\n"
            "  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/{known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n"
        )

    def start(self, path: str = "/usr/local/bin:/usr/bin:/bin") -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "ListenAddress": "127.0.0.1",
            "Port": str(self.port),
            "HostKey": str(self.folder / "host_key"),
            "PidFile": "none",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "AllowUsers": self.user,
            "SetEnv": f"PATH={path}",
        }
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        assert sshd is not None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", "/dev/null", *(f"-o{k}={v}" for k, v in options.items())],
                stderr=log,
            )
        eventually(self._answers, SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """Stop the server during the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def without_docker(self) -> Iterator[None]:
        """Remove docker from the PATH of logins during the block."""
        folder = self.folder / "bin"
        folder.mkdir()
        for program in Path("/usr/bin").iterdir():
            if not program.name.startswith("docker"):
                (folder / program.name).symlink_to(program)
        self.stop()
        self.start(str(folder))
        try:
            yield
        finally:
            self.stop()
            self.start()

    @contextmanager
    def without_sudo(self) -> Iterator[None]:
        self._sudoers.unlink()
        try:
            yield
        finally:
            self._allow_sudo()

    @contextmanager
    def without_group(self) -> Iterator[None]:
        _run("gpasswd", "--delete", self.user, "docker")
        try:
            yield
        finally:
            _run("gpasswd", "--add", self.user, "docker")

    def _allow_sudo(self) -> None:
        self._sudoers.touch(mode=0o440)
        self._sudoers.write_text(f"{self.user} ALL=(root) NOPASSWD: ALL\n")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def _run(*words: str, check: bool = True) -> None:
    subprocess.run(words, check=check, capture_output=True)
