"""Certificates are made, copied and renewed by a real OpenSSL, and a bad one changes nothing."""

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
        self.config, self.keeps = folder / "config", folder / "keeps" / "certificates"
        self.pair = self.config / "tls" / "mqtts" / "pair.pem"

    def apply(self, *calls, action="apply", turn=1):
        return self.host.run(
            SCRIPTS,
            call("lock", self.folder / "lock"),
            call("broker", "mqtt", SOCKET, 1883, self.config, "mosquitto.conf"),
            call("certificates", self.keeps, 1883, 1883, 10, turn),
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
        words = ("openssl", "x509", "-in", str(self.pair), "-noout", "-checkend")
        return not subprocess.run([*words, str(days * 86_400)], check=False).returncode

    def text(self, *what):
        return openssl("x509", "-in", self.pair, "-noout", *what).strip()


@pytest.fixture
def certificates(host, tmp_path):
    (tmp_path / "here").mkdir()
    return Certificates(host, tmp_path / "here")


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "theirs")


class Authority:
    """Somebody else's CA."""

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

    def pair(self, name="server", *, days=60, of="ca", extensions=""):
        """Return certificate and key; negative *days* are over."""
        said = self.folder / f"{name}.ext"
        said.write_text(extensions)
        request, key = self.folder / f"{name}.csr", self.folder / f"{name}.key"
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.folder / f"{of}.pem"),
            *("-CAkey", self.folder / f"{of}.key", "-set_serial", "7", "-days", days),
            *("-extfile", said, "-out", self.folder / f"{name}.pem"),
        )
        return self.folder / f"{name}.pem", key


def test_the_stacks_own_certificate_is_of_its_ca_and_for_its_names(certificates):
    done = certificates.own()

    assert (done.returncode, done.stderr) == (0, "")
    ca = certificates.keeps / "ca" / "ca.pem"
    openssl("verify", "-CAfile", ca, "-purpose", "sslserver", certificates.pair)
    names = certificates.text("-ext", "subjectAltName")
    assert "DNS:localhost, DNS:broker.example.org, IP Address:127.0.0.1" in names
    assert "ASN1 OID: prime256v1" in certificates.text("-text")
    # One file is both, so that one rename swaps both.
    public = openssl("pkey", "-in", certificates.pair, "-pubout").strip()
    assert public == certificates.text("-pubkey")


def test_only_the_broker_reads_its_key_and_only_root_the_cas(certificates):
    certificates.own()

    assert mode(certificates.pair) == ("0600", 1883, 1883)
    assert mode(certificates.pair.parent) == ("0750", 0, 1883)
    assert mode(certificates.config / "tls") == ("0750", 0, 1883)
    assert mode(certificates.keeps / "ca" / "ca.key") == ("0600", 0, 0)
    assert mode(certificates.keeps)[0] == "0700"


def test_everybody_on_the_host_may_read_the_ca(certificates):
    certificates.own()

    public = certificates.keeps.parent / "ca.pem"
    assert mode(public)[0] == "0644"
    assert mode(public.parent)[0] == "0755"
    assert public.read_text() == (certificates.keeps / "ca" / "ca.pem").read_text()


def test_what_it_prints_is_public(certificates):
    said = certificates.own().stdout

    fingerprint = certificates.text("-fingerprint", "-sha256").partition("=")[2]
    end = certificates.text("-enddate").partition("=")[2]
    assert said.splitlines()[0] == f"certificate mqtts {fingerprint} {end}"
    assert "-----BEGIN CERTIFICATE-----" in said
    assert "KEY" not in said


def test_again_changes_nothing(certificates):
    first = certificates.own()
    before = certificates.left()

    assert certificates.own().stdout == first.stdout
    assert certificates.left() == before


@pytest.mark.parametrize(
    "change", [{"san": "DNS:other.org"}, {"days": 90}, {"before": 397}], ids=str
)
def test_other_names_another_length_or_a_near_end_is_another_certificate_of_the_same_ca(
    certificates, change
):
    certificates.own()
    ca = (certificates.keeps / "ca" / "ca.pem").read_text()
    before = certificates.pair.read_text()

    assert certificates.own(**change).returncode == 0

    assert certificates.pair.read_text() != before
    assert (certificates.keeps / "ca" / "ca.pem").read_text() == ca


def test_a_certificate_that_was_damaged_is_made_anew(certificates):
    certificates.own()
    certificates.pair.write_text("nonsense\n")

    assert certificates.own().returncode == 0
    assert certificates.text("-subject") == "subject=CN = mqtt"


def test_given_files_are_copied_and_left_alone(certificates, authority):
    certificate, key = authority.pair()

    done = certificates.given(certificate, key, authority.ca)

    assert (done.returncode, done.stderr) == (0, "")
    assert mode(certificates.pair) == ("0600", 1883, 1883)
    assert certificates.text("-subject") == "subject=CN = server"
    assert "PRIVATE KEY" in certificates.pair.read_text()
    certificates.given(certificate, key, authority.ca, action="remove")
    assert key.exists()
    assert certificate.exists()
    assert certificates.left() == {}


def test_a_pair_from_the_stacks_secrets_is_kept_as_it_came(certificates, authority):
    certificate, key = authority.pair()
    text = key.read_text() + certificate.read_text()
    supplied = call("supplied", "mqtts", "127.0.0.1", 1, text=text)

    done = certificates.apply(supplied)

    assert (done.returncode, done.stderr) == (0, "")
    assert certificates.pair.read_text() == text
    assert mode(certificates.pair) == ("0600", 1883, 1883)
    assert "PRIVATE KEY" not in done.stdout
    kept = ["config/tls/mqtts/pair.pem", "keeps/certificates/turn"]
    assert sorted(set(certificates.left()) - {"lock"}) == kept
    certificates.apply(supplied, action="remove")
    assert certificates.left() == {}


def test_a_bad_pair_from_the_stacks_secrets_changes_nothing(certificates, authority):
    certificates.given(*authority.pair("good"))
    before = certificates.left()
    certificate, _ = authority.pair()
    _, key = authority.pair("other")

    done = certificates.apply(
        call("supplied", "mqtts", "127.0.0.1", 1, text=key.read_text() + certificate.read_text())
    )

    assert done.returncode == 1
    assert done.stderr.startswith("sentient-mqtt:certificates.mqtts: is not the key of ")
    assert certificates.left() == before


def test_a_clients_request_is_signed_and_nothing_of_it_is_left(certificates, host, tmp_path):
    certificates.own()
    before = certificates.left()
    key, request = tmp_path / "client.key", tmp_path / "client.csr"
    openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", key, "-out", request, "-subj", "/CN=teensy-007"),
    )

    done = host.run(
        "commands/sign_certificate.sh",
        call("sign", certificates.keeps, 90, text=request.read_text()),
    )

    assert (done.returncode, done.stderr) == (0, "")
    signed = tmp_path / "signed.pem"
    signed.write_text(done.stdout)
    ca = certificates.keeps / "ca" / "ca.pem"
    openssl("verify", "-CAfile", ca, "-purpose", "sslclient", signed)
    assert "CN = teensy-007" in openssl("x509", "-in", signed, "-noout", "-subject")
    # Nobody can pass for the broker with it.
    refused = subprocess.run(
        ["openssl", "verify", "-CAfile", str(ca), "-purpose", "sslserver", str(signed)],
        capture_output=True,
        check=False,
    )
    assert refused.returncode != 0
    assert done.stdout.endswith(ca.read_text())
    assert certificates.left() == before


def test_a_request_that_is_none_or_comes_too_early_is_refused(certificates, host):
    early = host.run(
        "commands/sign_certificate.sh", call("sign", certificates.keeps, 90, text="a request\n")
    )
    certificates.own()
    before = certificates.left()
    none = host.run(
        "commands/sign_certificate.sh", call("sign", certificates.keeps, 90, text="a request\n")
    )

    assert early.stderr == "the stack's own CA is not on this host yet: run ./brokerctl up first\n"
    assert none.stderr.startswith("openssl x509: ")
    assert (early.returncode, none.returncode) == (1, 1)
    assert early.stdout == none.stdout == ""
    assert certificates.left() == before


def slips(authority):
    """What is wrong, by name: certificate, key, CA, and what is said."""
    certificate, key = authority.pair()
    _, other_key = authority.pair("other")
    old, old_key = authority.pair("old", days=-1)
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


SLIPS = (
    *("of another", "ended", "a passphrase", "another CA", "no certificate there", "no key there"),
    *("words", "words for a key", "no CA there"),
)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_bad_pair_is_one_sentence_and_changes_nothing(certificates, authority, slip):
    certificates.given(*authority.pair("good"))
    before = certificates.left()
    certificate, key, ca, said = slips(authority)[slip]

    done = certificates.given(certificate, key, ca)

    assert done.returncode == 1
    assert done.stderr.startswith(f"sentient-mqtt:broker.listeners.mqtts.tls.{said}")
    assert done.stderr.endswith("Nothing was changed.\n")
    assert len(done.stderr.splitlines()) == 1
    assert certificates.left() == before


def test_what_clients_show_is_held_against_the_own_ca_or_a_given_one(certificates, authority):
    clients = certificates.pair.parent / "clients.pem"
    own = call("own", "mqtts", "127.0.0.1", 1, 397, 30, SAN)

    certificates.apply(call("authority"), own, call("clients", "mqtts", ""))
    assert clients.read_text() == (certificates.keeps / "ca" / "ca.pem").read_text()

    certificates.apply(call("authority"), own, call("clients", "mqtts", authority.ca))
    assert clients.read_text() == authority.ca.read_text()
    assert mode(clients) == ("0600", 1883, 1883)


def test_a_listener_that_was_taken_away_takes_its_key_along_once_no_conf_names_it(certificates):
    certificates.own()
    conf = certificates.config / "mosquitto.conf"
    conf.write_text("certfile /mosquitto/config/tls/mqtts/pair.pem\n")
    other = call("own", "wss", "127.0.0.1", 1, 397, 30, SAN)

    certificates.apply(call("authority"), other)
    assert certificates.pair.exists()

    conf.write_text("listener 1883\n")
    certificates.apply(call("authority"), other)
    assert not certificates.pair.parent.exists()
    assert (certificates.config / "tls" / "wss" / "pair.pem").exists()


def test_removed_no_key_of_ours_is_left(certificates):
    certificates.own()

    assert certificates.own(action="remove").returncode == 0

    assert certificates.left() == {}
    assert not certificates.keeps.exists()
    assert not (certificates.config / "tls").exists()


@pytest.fixture
def look(host, certificates):
    """``look(*words)``: what a look at the host says of the certificates."""

    def ask(*words):
        host.docker("exit 1")
        keeps = call("certificates", "mqtt", certificates.keeps)
        calls = (call("host", SOCKET), keeps, call(*words))
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
    """``serving(pem)``: a broker runs and serves that until it is signalled, then what is there."""

    def run(pem):
        served = tmp_path / "served.pem"
        served.write_text(pem)
        host.docker(
            f"""case "$*" in
*State.Running*) echo "true false" ;;
*Mounts*) echo "{certificates.config}" ;;
*.Image*) echo image ;;
*logs*) echo "1: mosquitto version 2.0.21 running" ;;
*"kill -HUP"*) cp "{certificates.pair}" "{served}" ;;
esac"""
        )
        host.program("timeout", f'cat "{served}"')
        host.calls_file.unlink(missing_ok=True)

    return run


class TestAChainThatWasCorrected:
    """Its first certificate is the one that it was."""

    @pytest.fixture
    def given(self, authority, tmp_path):
        """Certificate file with the leaf alone, its key, and what ought to follow it."""
        authority.pair("between", extensions="basicConstraints=critical,CA:true\n")
        leaf, key = authority.pair("leaf", of="between")
        file = tmp_path / "given.pem"
        file.write_text(leaf.read_text())
        return file, key, (authority.folder / "between.pem").read_text()

    def test_is_due_taken_and_served(self, certificates, host, given, look, serving):
        file, key, between = given
        words = ("certificate", "mqtts", certificates.pair, 30, file, key, "")
        assert certificates.given(file, key).returncode == 0
        assert look(*words).line("certificate", "mqtts") == "ok"

        leaf = file.read_text()
        file.write_text(leaf + between)

        said = look(*words).line("certificate", "mqtts")
        assert said == f"due {file} is another one than before"
        serving(leaf)
        done = certificates.given(file, key)
        assert (done.returncode, done.stderr) == (0, "")
        assert certificates.pair.read_text().endswith(leaf + between)
        assert len(host.calls("kill -HUP")) == 1
        assert certificates.given(file, key).returncode == 0
        assert len(host.calls("kill -HUP")) == 1
        assert look(*words).line("certificate", "mqtts") == "ok"

    def test_what_was_taken_out_behind_it_is_served_no_more(
        self, certificates, host, given, serving
    ):
        file, key, between = given
        leaf = file.read_text()
        file.write_text(leaf + between)
        certificates.given(file, key)
        serving(leaf + between)
        file.write_text(leaf)

        assert certificates.given(file, key).returncode == 0

        assert len(host.calls("kill -HUP")) == 1

    def test_and_was_put_in_place_by_a_run_that_was_killed_is_served_by_the_next(
        self, certificates, host, given, serving
    ):
        file, key, between = given
        leaf = file.read_text()
        file.write_text(leaf + between)
        certificates.given(file, key)
        serving(leaf)

        assert certificates.given(file, key).returncode == 0

        assert len(host.calls("kill -HUP")) == 1


def test_a_ca_that_was_lost_is_missed_and_another_one_made(certificates, look):
    words = ("certificate", "mqtts", certificates.pair, 30, "", "", "")
    assert look(*words).line("certificate", "mqtts") == "due there is none yet"
    certificates.own()
    assert look(*words).line("certificate", "mqtts") == "ok"
    assert look(*words).line("certificates", "mqtt") == "1"

    shutil.rmtree(certificates.keeps)

    assert look(*words).line("certificate", "mqtts") == "due its CA is not on the host any more"
    count, clock = look(*words).line("certificates", "mqtt").split()
    assert (count, int(clock) > 1_000_000_000) == ("never", True)
    assert certificates.own().returncode == 0
    assert look(*words).line("certificate", "mqtts") == "ok"


def test_no_certificate_outlives_its_ca_whose_own_end_is_told(certificates, look):
    words = ("certificate", "mqtts", certificates.pair, 30, "", "", "")
    certificates.own()
    assert look(*words).line("authority", "mqtt") == ""
    ca = certificates.keeps / "ca"

    def renew_ca(days):
        made = ("req", "-x509", "-key", ca / "ca.key", "-subj", "/CN=old", "-days", days)
        openssl(*made, "-out", ca / "ca.pem")

    renew_ca(100)
    assert certificates.own().returncode == 0

    assert [certificates.lasts(days) for days in (98, 101)] == [True, False]
    assert look(*words).line("authority", "mqtt").startswith("ends ")
    # Another one would last no longer: it is not due, or it would be at each `up`.
    renew_ca(20)
    certificates.own()
    before = certificates.left()
    assert look(*words).line("certificate", "mqtts") == "ok"
    assert certificates.own().returncode == 0
    assert certificates.left() == before


def test_keys_that_a_killed_run_left_are_gone_after_the_next_and_after_a_removal(certificates):
    certificates.own()
    kept = certificates.left()

    def residue():
        for path in (".work.AbCdEf/key", ".work.AbCdEf/ca/ca.key", ".sign.AbCdEf/request"):
            (certificates.keeps / path).parent.mkdir(parents=True, exist_ok=True)
            (certificates.keeps / path).write_text("PRIVATE KEY")
        tried = certificates.config / ".candidate" / "tls" / "mqtts"
        tried.mkdir(parents=True)
        (tried / "pair.pem").write_text("PRIVATE KEY")

    residue()
    assert certificates.own().returncode == 0
    shutil.rmtree(certificates.keeps / ".sign.AbCdEf")
    assert certificates.left() == kept
    residue()
    assert certificates.own(action="remove").returncode == 0
    assert certificates.left() == {}
    assert not certificates.keeps.exists()


def test_a_host_without_openssl_says_so(certificates, host, monkeypatch):
    for tool in ("sh", "cat", "rm", "mkdir", "dirname", "date", "flock", "rmdir"):
        (host.bin / tool).symlink_to(f"/usr/bin/{tool}")
    run = subprocess.run
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *a, **k: run(*a, **(k | {"env": {**k["env"], "PATH": str(host.bin)}})),
    )

    done = certificates.own()

    assert done.returncode == 1
    assert "the command openssl is not on this host" in done.stderr
    assert certificates.left().keys() <= {"lock"}
