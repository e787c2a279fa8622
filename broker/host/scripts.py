"""The names of the scripts that run on the broker's host; a wrong name is a type error."""

from enum import StrEnum


class HostScript(StrEnum):
    """
    A file below ``host/`` that this program runs.

    Each script names its prerequisites in lines ``# needs: NAME.sh``, which ``assemble`` follows. A
    script_functions.py and probe_functions.py have the functions of each script.
    """

    APPLY_CONFIGURATION = "commands/apply_configuration.sh"
    AWAIT_EXPORTER = "commands/await_exporter.sh"
    AWAIT_READY = "commands/await_ready.sh"
    BACKUP = "commands/backup.sh"
    BRING_BACK = "commands/bring_back.sh"
    PREPARE_REPLACEMENT = "commands/prepare_replacement.sh"
    CLAIM_HOST = "commands/claim_host.sh"
    CERTIFICATES = "commands/certificates.sh"
    CLOSE_FORMER_PORTS = "commands/close_former_ports.sh"
    COMPLETE_DEPLOYMENT = "commands/complete_deployment.sh"
    DELETE_FILES = "commands/delete_files.sh"
    DRIFT = "commands/drift.sh"
    ENV_FILE = "commands/env_file.sh"
    FIREWALL = "commands/firewall.sh"
    FOLDERS = "commands/folders.sh"
    LEFTOVERS = "commands/leftovers.sh"
    LOGROTATE = "commands/logrotate.sh"
    NODE_EXPORTER_METRICS = "commands/node_exporter_metrics.sh"
    OBSERVE = "commands/observe.sh"
    PASSWORD_AGES = "commands/password_ages.sh"  # noqa: S105 (a file name)
    PROBE = "commands/probe.sh"
    PUT_FILES = "lib/put_files.sh"
    READ_LOG = "commands/read_log.sh"
    REMOVE_ORPHAN = "commands/remove_orphan.sh"
    RESTART = "commands/restart.sh"
    RESTORE = "commands/restore.sh"
    SCHEDULE = "commands/schedule.sh"
    SIGN_CERTIFICATE = "commands/sign_certificate.sh"
    VERIFY_BACKUP = "commands/verify_backup.sh"
