"""Every error in a stack file is one line: path, value, rule and, mostly, a fix."""

import pytest
from declared import smallest

from broker.settings.stack_settings import Settings, SettingsError

B = "broker"
FOLDERS = ("broker", "folders")
MQTT = ("broker", "listeners", "mqtt")
WRITE = ("users", "sensor", "write")
ENV = ("broker", "envFiles")
ENV_FILE = {"path": "/etc/mqtt.env", "user": "sensor"}

# Path, value, the start of the line after "sentient-mqtt:", another text in the line.
ERRORS = {
    # Keys, at every depth
    "key of the file": (("borker",), {}, "borker: unknown key", "Did you mean 'broker'?"),
    "key of broker": ((B, "adress"), "x", "broker.adress: unknown key", "Did you mean 'address'?"),
    "key of a listener": ((*MQTT, "prot"), 1, "broker.listeners.mqtt.prot: unknown key", "'port'"),
    "key of limits": (
        (B, "limits"),
        {"maxConnection": 1},
        "broker.limits.maxConnection: unknown key",
        "Did you mean 'maxConnections'?",
    ),
    "key of an env file's owner": (
        ENV,
        [{**ENV_FILE, "owner": {"uidd": 1}}],
        "broker.envFiles[0].owner.uidd: unknown key",
        "Did you mean 'uid'?",
    ),
    "key of a user": (("users", "sensor", "reed"), [], "users.sensor.reed: unknown key", "'read'"),
    "key in the code's spelling": (
        (B, "bind_address"),
        "x",
        "broker.bind_address: unknown key",
        "Did you mean",
    ),
    "key unlike any other": (
        (B, "zzz"),
        1,
        "broker.zzz: unknown key",
        "Known keys: address, allowStand",
    ),
    "key with a line break": ((B, "a\nb"), 1, "broker['a\\nb']: unknown key", "Known keys:"),
    # Types
    "text for a number": ((*MQTT, "port"), "1883", "broker.listeners.mqtt.port: '1883': ", "whole"),
    "half a number": ((*MQTT, "port"), 0.5, "broker.listeners.mqtt.port: 0.5: ", "whole number"),
    "true for a number": ((*MQTT, "port"), True, "broker.listeners.mqtt.port: true: ", "whole"),
    "number for true": ((B, "allowStandIn"), 1, "broker.allowStandIn: 1: ", "true or false"),
    "number for text": ((B, "container"), 7, "broker.container: 7: ", "put it in quotes"),
    "container with a helper's name": (
        (B, "container"),
        "mosquitto-shared-candidate",
        "broker.container: 'mosquitto-shared-candidate': must not end in '-candidate'",
        "a helper container of the broker 'mosquitto-shared'",
    ),
    "container with a backup's helper's name": (
        (B, "container"),
        "mqtt-backup-rehearsal",
        "broker.container: ",
        "must not end in '-rehearsal'",
    ),
    "container with an exporter's name": (
        (B, "container"),
        "mqtt-exporter",
        "broker.container: ",
        "must not end in '-exporter'",
    ),
    "nothing for text": ((B, "container"), None, "broker.container: null: ", "must be text"),
    "list for a mapping": ((B, "limits"), [], "broker.limits: []: ", "a mapping (key: value)"),
    "mapping for a list": (ENV, {"path": "/x"}, "broker.envFiles: {'path': '/x'}: ", "be a list"),
    "text for a list": (WRITE, "a/b", "users.sensor.write: 'a/b': ", "must be a list"),
    "number in a list": (WRITE, [7], "users.sensor.write[0]: 7: ", "must be text"),
    "text for a mapping": ((B,), "x", "broker: 'x': ", "must be a mapping (key: value)"),
    "text for an env file": (ENV, ["/x"], "broker.envFiles[0]: '/x': ", "must be a mapping"),
    "nothing for a user": (("users", "sensor"), None, "users.sensor: null: ", "a mapping"),
    "nothing for all users": (("users",), None, "users: null: ", "must be a mapping"),
    "true for a generation": (
        ("users", "sensor", "generation"),
        True,
        "users.sensor.generation: true: ",
        "put it in quotes",
    ),
    "true for the health check's generation": (
        (B, "health"),
        {"generation": True},
        "broker.health.generation: true: ",
        "put it in quotes",
    ),
    # Ports
    "port 0": ((*MQTT, "port"), 0, "broker.listeners.mqtt.port: 0: ", "must be at least 1"),
    "port 65536": ((*MQTT, "port"), 65536, "broker.listeners.mqtt.port: 65536: ", "at most 65535"),
    "port below 0": ((*MQTT, "port"), -1, "broker.listeners.mqtt.port: -1: ", "at least 1"),
    "port used twice": (
        (B, "listeners", "web"),
        {"port": 1883, "protocol": "websockets"},
        "broker.listeners.web.port: 1883: ",
        "is the port of listener 'mqtt' already; choose another",
    ),
    "no listener": ((B, "listeners"), {}, "broker.listeners: {}: ", "at least one entry"),
    "no plain listener": (
        (*MQTT, "protocol"),
        "websockets",
        "broker.listeners: ['mqtt']: ",
        "one listener must have protocol 'mqtt'",
    ),
    "unknown protocol": ((*MQTT, "protocol"), "tls", "broker.listeners.mqtt.protocol", "or"),
    "listener with a space": (
        (B, "listeners", "a b"),
        {"port": 1},
        "broker.listeners.a b: 'a b': ",
        "a name is 1 to 64",
    ),
    # Names
    "user with a colon": (("users", "a:b"), {}, "users.a:b: 'a:b': ", "colon would end it"),
    "user with a space": (("users", "a b"), {}, "users.a b: 'a b': ", "1 to 64 of A-Z"),
    "user with a line break": (("users", "a\nb"), {}, "users['a\\nb']: 'a\\nb': ", "1 to 64"),
    "user with a NUL": (("users", "a\0"), {}, "users['a\\x00']: 'a\\x00': ", "1 to 64"),
    "user of 65": (("users", "a" * 65), {}, f"users.{'a' * 65}: ", "1 to 64"),
    "user without a name": (("users", ""), {}, "users['']: '': ", "1 to 64"),
    "user like an option": (("users", "-u"), {}, "users.-u: '-u': ", "begins with a letter"),
    "number for a user name": (("users", 7), {}, "users.7: 7: ", "put it in quotes"),
    "no user": (("users",), {}, "users: {}: ", "declare one, such as"),
    "the health check's name taken": (
        ("users", "healthcheck"),
        {},
        "broker.health.user: 'healthcheck': ",
        "give the health check another name",
    ),
    "a user's name for the health check": (
        (B, "health"),
        {"user": "sensor"},
        "broker.health.user: 'sensor': ",
        "another name",
    ),
    "the canary's name taken": (
        ("users", "sentient-mqtt-canary"),
        {},
        "users.sentient-mqtt-canary: 'sentient-mqtt-canary': ",
        "choose another name",
    ),
    "description of two lines": (
        ("users", "sensor", "description"),
        "a\nuser b",
        "users.sensor.description: 'a\\nuser b': ",
        "must be one line",
    ),
    # Filters
    "'#' not last": (WRITE, ["a/#/b"], "users.sensor.write[0]: 'a/#/b': ", "be the last level"),
    "'#' in a level": (WRITE, ["a/b#"], "users.sensor.write[0]: 'a/b#': ", "a level of its own"),
    "'+' in a level": (WRITE, ["a+/b"], "users.sensor.write[0]: 'a+/b': ", "a level of its own"),
    "202 levels": (WRITE, ["/" * 201], "users.sensor.write[0]: '//", "doesn't start with more"),
    "empty filter": (WRITE, [""], "users.sensor.write[0]: '': ", "'#' stands for every topic"),
    "NUL": (WRITE, ["a\0"], "users.sensor.write[0]: 'a\\x00': ", "can't escape"),
    "line break": (WRITE, ["a\nuser b"], "users.sensor.write[0]: 'a\\nuser b': ", "line break"),
    "65,536 bytes": (WRITE, ["é" * 32_768], "users.sensor.write[0]: 'é", "at most 65,535 bytes"),
    "lone surrogate": (WRITE, ["\ud800"], "users.sensor.write[0]: '\\ud800': ", "UTF-8"),
    "space around": (WRITE, [" a"], "users.sensor.write[0]: ' a': ", "remove it"),
    # Networks and addresses
    "network by name": (
        (*MQTT, "allowFrom"),
        ["everyone"],
        "broker.listeners.mqtt.allowFrom[0]: 'everyone': ",
        "in CIDR form, such as 192.168.3.0/24",
    ),
    "network without a length": (
        (*MQTT, "allowFrom"),
        ["10.0.0.0/8", "192.168.3.0"],
        "broker.listeners.mqtt.allowFrom[1]: '192.168.3.0': ",
        "for one host: 192.168.3.0/32",
    ),
    "network with a netmask": (
        (*MQTT, "allowFrom"),
        ["10.0.0.0/255.0.0.0"],
        "broker.listeners.mqtt.allowFrom[0]: ",
        "in CIDR form",
    ),
    "network with a host's address": (
        (*MQTT, "allowFrom"),
        ["192.168.3.7/24"],
        "broker.listeners.mqtt.allowFrom[0]: '192.168.3.7/24': ",
        "its network is 192.168.3.0/24",
    ),
    "number for a network": ((*MQTT, "allowFrom"), [10], "broker.listeners.mqtt.allow", "CIDR"),
    "text for networks": ((*MQTT, "allowFrom"), "::/0", "broker.listeners.mqtt.allow", "a list"),
    "name to listen on": ((*MQTT, "bindAddress"), "eth0", "broker.listeners.mqtt.bind", "an IP"),
    "address with three numbers": (
        (B, "address"),
        "192.168.2",
        "broker.address: '192.168.2': ",
        "not an",
    ),
    "address with a scheme": (
        (B, "address"),
        "mqtt://x",
        "broker.address: 'mqtt://x': ",
        "connect",
    ),
    "Docker over TCP": ((B, "host"), "tcp://x:2375", "broker.host: 'tcp://x:2375': ", "ssh://user"),
    "password in the host": ((B, "host"), "ssh://a:b@x", "broker.host: 'ssh://a:b@x': ", "ssh://"),
    "option as the host": ((B, "host"), "ssh://-oProxyCommand=x", "broker.host: ", "ssh://user@"),
    "port of the host": ((B, "host"), "ssh://x:70000", "broker.host: ", "1 to 65535"),
    # Paths
    "relative path": ((*FOLDERS, "data"), "data", "broker.folders.data: 'data': ", "an absolute"),
    "home": ((*FOLDERS, "data"), "~/data", "broker.folders.data: '~/data': ", "an absolute path"),
    "'..'": ((*FOLDERS, "data"), "/srv/a/../b", "broker.folders.data: ", "extra '/': '/srv/b'"),
    "trailing slash": ((*FOLDERS, "data"), "/srv/a/", "broker.folders.data: ", "'/srv/a'"),
    "two slashes": ((*FOLDERS, "data"), "//srv/a", "broker.folders.data: '//srv/a': ", "'/srv/a'"),
    "system folder": ((*FOLDERS, "data"), "/etc", "broker.folders.data: '/etc': ", "two levels"),
    **{
        f"folder {path}": (
            (*FOLDERS, "data"),
            path,
            f"broker.folders.data: '{path}': {rule}",
            "choose",
        )
        for path, rule in {
            "/root/.ssh": "is in /root, a system folder",
            "/etc/ssl": "is in /etc, a system folder",
            "/etc/sentient-mqttx/data": "is in /etc, a system folder",
            "/usr/local/mqtt": "is in /usr, a system folder",
            "/var/lib/docker/volumes": "is in /var/lib/docker, a system folder",
            "/run/mqtt": "is in /run, a system folder",
            "/home/user": "is a system folder or a home folder; choose one below it",
            "/var/lib": "is a system folder or a home folder; choose one below it",
        }.items()
    },
    "folder of archives in a system folder": (
        (B, "backups"),
        {"folder": "/root/backups"},
        "broker.backups.folder: '/root/backups': is in /root",
        "/srv/",
    ),
    "colon in a path": ((*FOLDERS, "data"), "/srv/a:b", "broker.folders.data: ", "splits at ':'"),
    "folder in another": (
        (*FOLDERS, "data"),
        "/srv/mqtt/config/data",
        "broker.folders.data: '/srv/mqtt/config/data': ",
        "must be separate from 'config' (/srv/mqtt/config)",
    ),
    "folder around another": (
        (*FOLDERS, "config"),
        "/srv/mqtt",
        "broker.folders.data: ",
        "separate",
    ),
    "the same folder twice": (
        (*FOLDERS, "log"),
        "/srv/mqtt/data",
        "broker.folders.log: ",
        "separate from 'data'",
    ),
    "path for a file name": ((B, "files"), {"conf": "a/b"}, "broker.files.conf: 'a/b': ", "name"),
    "one name for two files": ((B, "files"), {"conf": "a", "acl": "a"}, "broker.files: ", "three"),
    # Limits
    "connections": ((B, "limits"), {"maxConnections": -1}, "broker.limits.maxCon", "at least 1"),
    "queued": ((B, "limits"), {"maxQueuedMessages": -1}, "broker.limits.maxQueued", "at least 1"),
    "packet": ((B, "limits"), {"maxPacketSize": -1}, "broker.limits.maxPacketSize: -1", "at least"),
    "in flight": ((B, "limits"), {"maxInflightMessages": 65_536}, "broker.limits.maxInf", "65535"),
    "autosave": ((B, "persistence"), {"autosaveInterval": -1}, "broker.persistence.", "at least 1"),
    "open files": (
        (B, "limits"),
        {"maxConnections": 10_000, "openFiles": 1024},
        "broker.limits.openFiles: 1024: ",
        "must be at least 10100: one descriptor for each of the 10000 connections",
    ),
    "password length": ((B, "passwords"), {"length": 15}, "broker.passwords.length: 15", "16"),
    "log types": ((B, "logging"), {"types": []}, "broker.logging.types: []: ", "at least one type"),
    "log type": ((B, "logging"), {"types": ["all"]}, "broker.logging.types[0]: 'all': ", "'error'"),
    # Images
    "no tag": ((B, "image"), "eclipse-mosquitto", "broker.image: ", "has no tag; add a version"),
    "port for a tag": (
        (B, "image"),
        "registry.example.org:5000/mqtt",
        "broker.image: ",
        "has no tag",
    ),
    "latest": ((B, "image"), "eclipse-mosquitto:latest", "broker.image: ", "set a version"),
    "no image": ((B, "image"), "Not An Image:1", "broker.image: 'Not An Image:1': ", "such as"),
    # Env files
    "env file of an unknown user": (
        ENV,
        [{"path": "/etc/mqtt.env", "user": "sensr"}],
        "broker.envFiles[0].user: 'sensr': ",
        "is not a user. Did you mean 'sensor'?",
    ),
    "two env files with one path": (
        ENV,
        [ENV_FILE, ENV_FILE],
        "broker.envFiles[1].path: ",
        "its own file",
    ),
    "env file in a folder of the container": (
        ENV,
        [{"path": "/srv/mqtt/config/env", "user": "sensor"}],
        "broker.envFiles[0].path: '/srv/mqtt/config/env': ",
        "choose another folder",
    ),
    "relative env file": (
        ENV,
        [{**ENV_FILE, "path": "env"}],
        "broker.envFiles[0].path",
        "absolute",
    ),
    "env file of an unknown listener": (
        ENV,
        [{**ENV_FILE, "listener": "web"}],
        "broker.envFiles[0].listener: 'web': ",
        "declared are: mqtt",
    ),
}


@pytest.mark.parametrize(("path", "value", "start", "text"), ERRORS.values(), ids=[*ERRORS])
def test_error_is_one_line_with_path_value_and_rule(path, value, start, text):
    raw = smallest()
    set_value(raw, path, value)

    with pytest.raises(SettingsError) as raised:
        Settings.parse(raw)

    (line,) = str(raised.value).split("\n")
    assert line.startswith(f"sentient-mqtt:{start}")
    assert text in line
    assert line.isprintable()
    assert len(line) < 400


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        (("broker",), "broker"),
        (("users",), "users"),
        ((B, "address"), "broker.address"),
        ((B, "container"), "broker.container"),
        (FOLDERS, "broker.folders"),
        ((*FOLDERS, "log"), "broker.folders.log"),
        ((*MQTT, "port"), "broker.listeners.mqtt.port"),
    ],
)
def test_missing_setting_is_named_with_a_fix(keys, path):
    raw = smallest()
    parent = raw
    for key in keys[:-1]:
        parent = parent[key]
    del parent[keys[-1]]

    with pytest.raises(SettingsError) as raised:
        Settings.parse(raw)

    assert str(raised.value) == (
        f"sentient-mqtt:{path}: is required and missing.\n  Fix: Add it to the stack file."
    )


def set_value(raw, path, value):
    for key in path[:-1]:
        raw = raw[key]
    raw[path[-1]] = value
