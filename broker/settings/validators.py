"""Checks of names, paths and addresses for the files and command lines that contain them."""

import posixpath
import re
from ipaddress import ip_address
from pathlib import PurePosixPath

from broker.host.transport import SSH_HOST, UNIX_HOST
from broker.settings.cron_schedule import CronSchedule

HELPER_SUFFIXES = ("-candidate", "-rehearsal", "-exporter", "-former")
"""Suffixes of a broker's helper containers (host/, broker/monitoring/mqtt_exporter.py)."""


# mosquitto.conf, the ACL file and the password file have no escaping: a line break starts a
# new directive and a colon ends a user name. So an invalid value is an error, never quoted.
def check_user_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", text):
        raise ValueError(
            "a user name is 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter, digit or _ "
            "(a colon would end it in the password file)"
        )
    return text


def check_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", text):
        raise ValueError(
            "a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter, digit or _"
        )
    return text


def check_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def check_absolute(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path, such as /opt/sentient/...")
    if str(path) != text or ".." in path.parts or text.startswith("//"):
        plain = "/" + posixpath.normpath(text).lstrip("/")
        raise ValueError(f"must be without '..', '.' and extra '/': {plain!r}")
    if not text.isprintable() or ":" in text or "\\" in text:
        raise ValueError("must not contain ':', '\\' or control characters (Docker splits at ':')")
    return text


def check_folder(text: str) -> str:
    path = PurePosixPath(check_absolute(text))
    if len(path.parts) <= 2:  # noqa: PLR2004 ("/" and one name)
        raise ValueError(
            "must be at least two levels below /, because folders directly below / are the system's"
        )
    if any(path.is_relative_to(folder) for folder in OWN_FOLDERS):
        return text
    for system in SYSTEM_FOLDERS:
        if path.is_relative_to(system):
            raise ValueError(
                f"is in {system}, a system folder; choose a folder such as "
                "/opt/sentient/... or /srv/..."
            )
    if path.parent in PARENTS_OF_SYSTEM_FOLDERS:
        raise ValueError(
            f"is a system folder or a home folder; choose one below it, such as {text}/mqtt"
        )
    return text


OWN_FOLDERS = tuple(map(PurePosixPath, ("/etc/sentient-mqtt",)))

SYSTEM_FOLDERS = tuple(
    map(
        PurePosixPath,
        (
            *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc"),
            *("/root", "/run", "/sbin", "/sys", "/usr", "/var/run", "/var/lock"),
            *("/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/apt"),
            *("/var/lib/systemd", "/var/spool/cron", "/var/cache/apt"),
        ),
    )
)
"""No folder in them may get the broker's owner and mode; some of them are emptied at boot."""

PARENTS_OF_SYSTEM_FOLDERS = tuple(map(PurePosixPath, ("/home", "/var")))
"""Folders directly below them are home folders, or system folders such as /var/lib."""


def check_file_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", text):
        raise ValueError(
            "a file name is 1 to 100 of A-Z a-z 0-9 . _ - and does not begin with . or -"
        )
    return text


def check_container_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,62}", text):
        raise ValueError(
            "a container name is 2 to 63 of A-Z a-z 0-9 _ . - and begins with a letter or digit"
        )
    if suffix := next((suffix for suffix in HELPER_SUFFIXES if text.endswith(suffix)), None):
        raise ValueError(
            f"must not end in {suffix!r}: a helper container of the broker "
            f"{text.removesuffix(suffix)!r} has this name, and is removed without further checks"
        )
    return text


def check_image(text: str) -> str:
    if not re.fullmatch(
        r"[a-z0-9][a-z0-9._/:-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?", text
    ):
        raise ValueError("is not an image name such as eclipse-mosquitto:2.0.22")
    tag = text.partition("@")[0].rpartition("/")[2].partition(":")[2]
    if not tag and "@" not in text:
        raise ValueError("has no tag; add a version, such as eclipse-mosquitto:2.0.22")
    if tag == "latest" and "@" not in text:
        raise ValueError("'latest' changes without notice; set a version or a digest")
    return text


def check_docker_host(text: str) -> str:
    ssh = SSH_HOST.fullmatch(text)
    if not ssh and not UNIX_HOST.fullmatch(text):
        raise ValueError("must be unix:///path/to/docker.sock or ssh://user@host[:port]")
    if ssh and ssh["port"] and not 0 < int(ssh["port"]) < 65536:  # noqa: PLR2004 (TCP)
        raise ValueError("the port must be 1 to 65535")
    return text


def check_address(text: str) -> str:
    # Text of digits and dots, or with a colon, can only be meant as an IP address.
    if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*", text):
        try:
            ip_address(text)
        except ValueError:
            raise ValueError(
                "is not an IP address such as 192.168.2.3, and no host name either"
            ) from None
        return text
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text) or len(text) > 253:  # noqa: PLR2004 (RFC 1035)
        raise ValueError("must be the host name or IP address that clients connect to")
    return text


def check_bind_address(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("must be an IP address of the host, such as 192.168.2.3") from None
    return text


def check_log_size(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,5}[kmg]", text):
        raise ValueError("must be a number followed by k, m or g, such as 10m")
    return text


def check_generation(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", text):
        raise ValueError("a generation is 1 to 32 of A-Z a-z 0-9 . _ -, such as 2 or 2026-11")
    return text


def check_schedule(text: str) -> str:
    CronSchedule.parse(text)
    return text


def check_recipient(text: str) -> str:
    if not re.fullmatch(r"age1[02-9ac-hj-np-z]{58}", text):
        raise ValueError(
            "must be a public key of age(1): age1 and 58 more characters, as `age-keygen -y` prints"
        )
    return text
