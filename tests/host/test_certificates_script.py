"""A real OpenSSL creates, copies and renews certificates; an invalid one changes nothing."""

import shutil
import subprocess

import pytest
from host_under_test import SOCKET, all_files, call, mode

from broker.host.facts import HostFacts

SCRIPTS = (
    "lib/put_files.sh lib/key_and_certificate.sh commands/apply_configuration.sh "
    "commands/certificates.sh"
)
SAN = "DNS:localhost,DNS:broker.example.org,IP:127.0.0.1"


def openssl(*words, text=None):
    done = subprocess.run(
        ["openssl", *map(str, words)], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


class Certificates:
    def __init__(self, host, folder):
        self.host, self.folder = host, folder
        self.config, self.ca_folder = folder / "config", folder / "ca_folder" / "certificates"
        self.served_file = self.config / "tls" / "mqtts" / "pair.pem"

    def apply(self, *calls, action="apply"):
        return self.host.run(
            SCRIPTS,
            call("lock", self.folder / "lock"),
            call("broker", "mqtt", SOCKET, 1883, self.config, "mosquitto.conf"),
            call("certificates", self.ca_folder, 1883, 1883, 10),
            *calls,
            action=action,
        )

    def own(self, *, days=397, before=30, san=SAN, action="apply"):
        return self.apply(
            call("authority"),
            call("own", "mqtts", "127.0.0.1", 1, days, before, san),
            action=action,
        )

    def given(self, certificate, key, ca="", action="apply"):
        return self.apply(
            call("given", "mqtts", "127.0.0.1", 1, certificate, key, ca), action=action
        )

    def left(self):
        return all_files(self.folder) if self.folder.exists() else {}

    def lasts(self, days):
        words = ("openssl", "x509", "-in", str(self.served_file), "-noout", "-checkend")
        return not subprocess.run([*words, str(days * 86_400)], check=False).returncode

    def text(self, *options):
        return openssl("x509", "-in", self.served_file, "-noout", *options).strip()


@pytest.fixture
def certificates(host, tmp_path):
    (tmp_path / "here").mkdir()
    return Certificates(host, tmp_path / "here")


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "theirs")


class Authority:
    """A CA that is not the stack's own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.ca = self.make("ca", "-days", "30")

    def make(self, name, *more):
        openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem"),
            *("-subj", f"/CN={name}", *more),
        )
        return self.folder / f"{name}.pem"

    def issue(self, name="server", *, days=60, signed_by="ca", extensions=""):
        """Return the paths of certificate and key; with negative *days* it has expired."""
        extension_file = self.folder / f"{name}.ext"
        extension_file.write_text(extensions)
        request, key = self.folder / f"{name}.csr", self.folder / f"{name}.key"
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.folder / f"{signed_by}.pem"),
            *("-CAkey", self.folder / f"{signed_by}.key", "-set_serial", "7", "-days", days),
            *("-extfile", extension_file, "-out", self.folder / f"{name}.pem"),
        )
        return self.folder / f"{name}.pem", key


def test_own_certificate_is_signed_by_the_ca_for_its_names(certificates):
    done = certificates.own()

    assert (done.returncode, done.stderr) == (0, "")
    ca = certificates.ca_folder / "ca" / "ca.pem"
    openssl("verify", "-CAfile", ca, "-purpose", "sslserver", certificates.served_file)
    names = certificates.text("-ext", "subjectAltName")
    assert "DNS:localhost, DNS:broker.example.org, IP Address:127.0.0.1" in names
    assert "ASN1 OID: prime256v1" in certificates.text("-text")
    # Both are in one file, so that one rename swaps both.
    public = openssl("pkey", "-in", certificates.served_file, "-pubout").strip()
    assert public == certificates.text("-pubkey")


def test_broker_reads_its_key_and_only_root_reads_the_cas(certificates):
    certificates.own()

    assert mode(certificates.served_file) == ("0600", 1883, 1883)
    assert mode(certificates.served_file.parent) == ("0750", 0, 1883)
    assert mode(certificates.config / "tls") == ("0750", 0, 1883)
    assert mode(certificates.ca_folder / "ca" / "ca.key") == ("0600", 0, 0)
    assert mode(certificates.ca_folder)[0] == "0700"


def test_ca_certificate_is_world_readable(certificates):
    certificates.own()

    public = certificates.ca_folder.parent / "ca.pem"
    assert mode(public)[0] == "0644"
    assert mode(public.parent)[0] == "0755"
    assert public.read_text() == (certificates.ca_folder / "ca" / "ca.pem").read_text()


def test_only_public_parts_are_printed(certificates):
    printed = certificates.own().stdout

    fingerprint = certificates.text("-fingerprint", "-sha256").partition("=")[2]
    end = certificates.text("-enddate").partition("=")[2]
    assert printed.splitlines()[0] == f"certificate mqtts {fingerprint} {end}"
    assert "-----BEGIN CERTIFICATE-----" in printed
    assert "KEY" not in printed


def test_second_run_changes_nothing(certificates):
    first = certificates.own()
    before = certificates.left()

    assert certificates.own().stdout == first.stdout
    assert certificates.left() == before


@pytest.mark.parametrize(
    "change", [{"san": "DNS:other.org"}, {"days": 90}, {"before": 397}], ids=str
)
def test_other_names_lifetime_or_near_end_renews_with_the_same_ca(certificates, change):
    certificates.own()
    ca = (certificates.ca_folder / "ca" / "ca.pem").read_text()
    before = certificates.served_file.read_text()

    assert certificates.own(**change).returncode == 0

    assert certificates.served_file.read_text() != before
    assert (certificates.ca_folder / "ca" / "ca.pem").read_text() == ca


def test_damaged_certificate_is_replaced(certificates):
    certificates.own()
    certificates.served_file.write_text("nonsense\n")

    assert certificates.own().returncode == 0
    assert certificates.text("-subject") == "subject=CN = mqtt"


def test_given_files_are_copied_and_unchanged(certificates, authority):
    certificate, key = authority.issue()

    done = certificates.given(certificate, key, authority.ca)

    assert (done.returncode, done.stderr) == (0, "")
    assert mode(certificates.served_file) == ("0600", 1883, 1883)
    assert certificates.text("-subject") == "subject=CN = server"
    assert "PRIVATE KEY" in certificates.served_file.read_text()
    certificates.given(certificate, key, authority.ca, action="remove")
    assert key.exists()
    assert certificate.exists()
    assert certificates.left() == {}


def test_certificate_from_the_stacks_secrets_is_stored_unchanged(certificates, authority):
    certificate, key = authority.issue()
    text = key.read_text() + certificate.read_text()
    supplied = call("supplied", "mqtts", "127.0.0.1", 1, text=text)

    done = certificates.apply(supplied)

    assert (done.returncode, done.stderr) == (0, "")
    assert certificates.served_file.read_text() == text
    assert mode(certificates.served_file) == ("0600", 1883, 1883)
    assert "PRIVATE KEY" not in done.stdout
    kept = ["config/tls/mqtts/pair.pem"]
    assert sorted(set(certificates.left()) - {"lock"}) == kept
    certificates.apply(supplied, action="remove")
    assert certificates.left() == {}


def test_invalid_certificate_from_the_stacks_secrets_changes_nothing(certificates, authority):
    certificates.given(*authority.issue("good"))
    before = certificates.left()
    certificate, _ = authority.issue()
    _, key = authority.issue("other")

    done = certificates.apply(
        call("supplied", "mqtts", "127.0.0.1", 1, text=key.read_text() + certificate.read_text())
    )

    assert done.returncode == 1
    assert done.stderr.startswith("sentient-mqtt:certificates.mqtts: is not the key of ")
    assert certificates.left() == before


def test_client_request_is_signed_and_leaves_no_file(certificates, host, tmp_path):
    certificates.own()
    before = certificates.left()
    key, request = tmp_path / "client.key", tmp_path / "client.csr"
    openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", key, "-out", request, "-subj", "/CN=teensy-007"),
    )

    done = host.run(
        "commands/sign_certificate.sh",
        call("sign", certificates.ca_folder, 90, text=request.read_text()),
    )

    assert (done.returncode, done.stderr) == (0, "")
    signed = tmp_path / "signed.pem"
    signed.write_text(done.stdout)
    ca = certificates.ca_folder / "ca" / "ca.pem"
    openssl("verify", "-CAfile", ca, "-purpose", "sslclient", signed)
    assert "CN = teensy-007" in openssl("x509", "-in", signed, "-noout", "-subject")
    # A client can't use it as the broker's certificate.
    refused = subprocess.run(
        ["openssl", "verify", "-CAfile", str(ca), "-purpose", "sslserver", str(signed)],
        capture_output=True,
        check=False,
    )
    assert refused.returncode != 0
    assert done.stdout.endswith(ca.read_text())
    assert certificates.left() == before


def test_certificate_does_not_outlive_the_ca(certificates, host, tmp_path):
    certificates.own()
    key = tmp_path / "client.key"
    request = openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=teensy")
    before = certificates.left()

    def sign(days):
        words = ("sign", certificates.ca_folder, days)
        return host.run("commands/sign_certificate.sh", call(*words, text=request))

    refused = sign(100_000)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("--days 100000: the stack's own CA ends before that, on ")
    assert sign(1).returncode == 0
    assert certificates.left() == before


def test_invalid_request_or_missing_ca_is_refused(certificates, host):
    early = host.run(
        "commands/sign_certificate.sh", call("sign", certificates.ca_folder, 90, text="a request\n")
    )
    certificates.own()
    before = certificates.left()
    none = host.run(
        "commands/sign_certificate.sh", call("sign", certificates.ca_folder, 90, text="a request\n")
    )

    assert early.stderr == "the stack's own CA is not on this host yet: run ./brokerctl up first\n"
    assert none.stderr.startswith("openssl x509: ")
    assert (early.returncode, none.returncode) == (1, 1)
    assert early.stdout == none.stdout == ""
    assert certificates.left() == before


def invalid_inputs(authority):
    """Return invalid inputs by name: certificate, key, CA, and the error message."""
    certificate, key = authority.issue()
    _, other_key = authority.issue("other")
    old, old_key = authority.issue("old", days=-1)
    locked = authority.folder / "locked.key"
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked)
    stranger = authority.make("stranger", "-days", "30")
    words = authority.folder / "words.pem"
    words.write_text("words\n")
    absent = authority.folder / "absent.pem"
    return {
        "of another": (certificate, other_key, "", f"key: is not the key of {certificate}"),
        "ended": (old, old_key, "", "certificate: has expired: it ended "),
        "a passphrase": (certificate, locked, "", "key: is encrypted"),
        "another CA": (certificate, key, stranger, f"certificate: is not of the CA in {stranger}"),
        "no certificate there": (absent, key, "", "certificate: is not there"),
        "no key there": (certificate, absent, "", "key: is not there"),
        "words": (words, key, "", "certificate: holds no certificate in PEM form"),
        "words for a key": (certificate, words, "", "key: holds no private key in PEM form"),
        "no CA there": (certificate, key, absent, "ca: is not there"),
    }


INVALID_INPUTS = (
    *("of another", "ended", "a passphrase", "another CA", "no certificate there", "no key there"),
    *("words", "words for a key", "no CA there"),
)


@pytest.mark.parametrize("case", INVALID_INPUTS)
def test_invalid_input_has_one_message_and_changes_nothing(certificates, authority, case):
    certificates.given(*authority.issue("good"))
    before = certificates.left()
    certificate, key, ca, message = invalid_inputs(authority)[case]

    done = certificates.given(certificate, key, ca)

    assert done.returncode == 1
    assert done.stderr.startswith(f"sentient-mqtt:broker.listeners.mqtts.tls.{message}")
    assert done.stderr.endswith("Nothing was changed.\n")
    assert len(done.stderr.splitlines()) == 1
    assert certificates.left() == before


def test_clients_ca_is_the_own_or_a_given_one(certificates, authority):
    clients = certificates.served_file.parent / "clients.pem"
    own = call("own", "mqtts", "127.0.0.1", 1, 397, 30, SAN)

    certificates.apply(call("authority"), own, call("clients", "mqtts", ""))
    assert clients.read_text() == (certificates.ca_folder / "ca" / "ca.pem").read_text()

    certificates.apply(call("authority"), own, call("clients", "mqtts", authority.ca))
    assert clients.read_text() == authority.ca.read_text()
    assert mode(clients) == ("0600", 1883, 1883)


def test_key_of_a_removed_listener_is_deleted_once_no_conf_names_it(certificates):
    certificates.own()
    conf = certificates.config / "mosquitto.conf"
    conf.write_text("certfile /mosquitto/config/tls/mqtts/pair.pem\n")
    other = call("own", "wss", "127.0.0.1", 1, 397, 30, SAN)

    certificates.apply(call("authority"), other)
    assert certificates.served_file.exists()

    conf.write_text("listener 1883\n")
    certificates.apply(call("authority"), other)
    assert not certificates.served_file.parent.exists()
    assert (certificates.config / "tls" / "wss" / "pair.pem").exists()


def test_removal_deletes_all_keys(certificates):
    certificates.own()

    assert certificates.own(action="remove").returncode == 0

    assert certificates.left() == {}
    assert not certificates.ca_folder.exists()
    assert not (certificates.config / "tls").exists()


@pytest.fixture
def probe(host, certificates):
    """Return ``probe(*words)``, which returns what the host reports of the certificates."""

    def ask(*words):
        host.docker("exit 1")
        certificates_call = call("certificates", "mqtt", certificates.ca_folder)
        calls = (call("host", SOCKET), certificates_call, call(*words))
        done = host.run(
            "lib/firewall_rules.sh lib/key_and_certificate.sh commands/probe.sh",
            *calls,
            action="look",
        )
        assert (done.returncode, done.stderr) == (0, "")
        return HostFacts.parse(done.stdout)

    return ask


@pytest.fixture
def serving(host, certificates, tmp_path):
    """Return ``serving(pem)``, which starts a broker that serves *pem* until it is signalled."""

    def run(pem):
        served = tmp_path / "served.pem"
        served.write_text(pem)
        host.docker(
            f"""case "$*" in
*State.Running*) echo "true false" ;;
*Mounts*) echo "{certificates.config}" ;;
*.Image*) echo image ;;
*logs*) echo "1: mosquitto version 2.0.21 running" ;;
*"kill -HUP"*) cp "{certificates.served_file}" "{served}" ;;
esac"""
        )
        host.program("timeout", f'cat "{served}"')
        host.calls_file.unlink(missing_ok=True)

    return run


class TestCorrectedChain:
    """A corrected chain with an unchanged first certificate."""

    @pytest.fixture
    def given(self, authority, tmp_path):
        """Certificate file with the leaf alone, its key, and what ought to follow it."""
        authority.issue("between", extensions="basicConstraints=critical,CA:true\n")
        leaf, key = authority.issue("leaf", signed_by="between")
        file = tmp_path / "given.pem"
        file.write_text(leaf.read_text())
        return file, key, (authority.folder / "between.pem").read_text()

    def test_is_due_loaded_and_served(self, certificates, host, given, probe, serving):
        file, key, between = given
        words = ("certificate", "mqtts", certificates.served_file, 30, file, key, "")
        assert certificates.given(file, key).returncode == 0
        assert probe(*words).line("certificate", "mqtts") == "ok"

        leaf = file.read_text()
        file.write_text(leaf + between)

        state = probe(*words).line("certificate", "mqtts")
        assert state == f"due {file} is another one than before"
        serving(leaf)
        done = certificates.given(file, key)
        assert (done.returncode, done.stderr) == (0, "")
        assert certificates.served_file.read_text().endswith(leaf + between)
        assert len(host.calls("kill -HUP")) == 1
        assert certificates.given(file, key).returncode == 0
        assert len(host.calls("kill -HUP")) == 1
        assert probe(*words).line("certificate", "mqtts") == "ok"

    def test_removed_intermediate_is_no_longer_served(self, certificates, host, given, serving):
        file, key, between = given
        leaf = file.read_text()
        file.write_text(leaf + between)
        certificates.given(file, key)
        serving(leaf + between)
        file.write_text(leaf)

        assert certificates.given(file, key).returncode == 0

        assert len(host.calls("kill -HUP")) == 1

    def test_chain_of_a_killed_run_is_served_by_the_next(self, certificates, host, given, serving):
        file, key, between = given
        leaf = file.read_text()
        file.write_text(leaf + between)
        certificates.given(file, key)
        serving(leaf)

        assert certificates.given(file, key).returncode == 0

        assert len(host.calls("kill -HUP")) == 1


def test_lost_ca_is_reported_and_replaced(certificates, probe):
    words = ("certificate", "mqtts", certificates.served_file, 30, "", "", "")
    assert probe(*words).line("certificate", "mqtts") == "due there is none yet"
    certificates.own()
    assert probe(*words).line("certificate", "mqtts") == "ok"

    shutil.rmtree(certificates.ca_folder)

    assert probe(*words).line("certificate", "mqtts") == "due its CA is not on the host any more"
    assert certificates.own().returncode == 0
    assert probe(*words).line("certificate", "mqtts") == "ok"


def test_no_certificate_outlives_its_ca_and_the_cas_end_is_reported(certificates, probe):
    words = ("certificate", "mqtts", certificates.served_file, 30, "", "", "")
    certificates.own()
    assert probe(*words).line("authority", "mqtt") == ""
    ca = certificates.ca_folder / "ca"

    def renew_ca(days):
        made = ("req", "-x509", "-key", ca / "ca.key", "-subj", "/CN=old", "-days", days)
        openssl(*made, "-out", ca / "ca.pem")

    renew_ca(100)
    assert certificates.own().returncode == 0

    assert [certificates.lasts(days) for days in (98, 101)] == [True, False]
    assert probe(*words).line("authority", "mqtt").startswith("ends ")
    # A new certificate would end at the same time: it is not due, or every `up` would renew it.
    renew_ca(20)
    certificates.own()
    before = certificates.left()
    assert probe(*words).line("certificate", "mqtts") == "ok"
    assert certificates.own().returncode == 0
    assert certificates.left() == before


def test_keys_of_a_killed_run_are_deleted_by_the_next_and_by_a_removal(certificates):
    certificates.own()
    kept = certificates.left()

    def residue():
        for path in (".work.AbCdEf/key", ".work.AbCdEf/ca/ca.key", ".sign.AbCdEf/request"):
            (certificates.ca_folder / path).parent.mkdir(parents=True, exist_ok=True)
            (certificates.ca_folder / path).write_text("PRIVATE KEY")
        tried = certificates.config / ".candidate" / "tls" / "mqtts"
        tried.mkdir(parents=True)
        (tried / "pair.pem").write_text("PRIVATE KEY")

    residue()
    assert certificates.own().returncode == 0
    shutil.rmtree(certificates.ca_folder / ".sign.AbCdEf")
    assert certificates.left() == kept
    residue()
    assert certificates.own(action="remove").returncode == 0
    assert certificates.left() == {}
    assert not certificates.ca_folder.exists()


def test_missing_openssl_is_an_error(certificates, host):
    host.only("sh", "cat", "rm", "mkdir", "dirname", "date", "flock", "timeout", "rmdir")

    done = certificates.own()

    assert done.returncode == 1
    assert "the command openssl is not installed on this host" in done.stderr
    assert certificates.left().keys() <= {"lock"}
