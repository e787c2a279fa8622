"""The log parser, with recorded and crafted lines of 2.0 and 2.1."""

import pytest
from declared import ROOT, settings_of

from broker.logs.authentication_failures import as_data, render_failures, too_many, worst_address
from broker.logs.log_parser import CLAIMED, LINE, OTHER, UNKNOWN, LogSummary, samples

LINES = {
    line: (ROOT / "tests" / "recorded" / f"log-{line}.txt").read_text().splitlines()
    for line in ("2.0", "2.1")
}
DAY = "2026-01-02"
SETTINGS = settings_of("prod")


@pytest.fixture(params=LINES)
def recorded(request):
    return LogSummary().read(LINES[request.param])


def log(*texts, since=None):
    """The summary of lines at intervals of one second."""
    summary = LogSummary() if since is None else LogSummary(since=since)
    return summary.read(
        f"{DAY}T03:{n // 60:02}:{n % 60:02}: {text}" for n, text in enumerate(texts)
    )


def connects(peer):
    return f"New connection from {peer} on port 1883."


def refused(client="x"):
    return f"Client {client} disconnected, not authorised."


def logs_in(peer, client="c", user="u"):
    return f"New client connected from {peer} as {client} (p2, c1, k60, u'{user}')."


class TestRecorded:
    def test_successful_logins(self, recorded):
        assert set(recorded.parties) == {"admin", "dev"}
        assert ("admin", "cl-admin", "127.0.0.1") in recorded.logins
        assert ("admin", "auto-*", "172.17.0.1") in recorded.logins
        assert ("dev", "odd (p4, c1) id", "127.0.0.1") in recorded.logins
        assert recorded.logins["dev", "stays", "127.0.0.1"].times >= 2
        # A reload ended the last connection of dev.
        assert all(party.ended is not None for party in recorded.parties.values())

    def test_refused_logins_with_user_and_address(self, recorded):
        # Those with a client id that dev had used before, and those with an unknown client id.
        assert recorded.refused["dev", "127.0.0.1"].times == 3
        assert recorded.refused[UNKNOWN, "127.0.0.1"].times == 4
        clients = {client for client, _ in recorded.refused_clients}
        assert clients == {"cl-wrong", "cl-wrong5", "anon", "auto-*"}

    def test_denied_messages(self, recorded):
        assert {key: count.times for key, count in recorded.denied.items()} == {
            ("dev", "127.0.0.1"): 3
        }

    def test_samples_for_prometheus(self, recorded):
        found = samples(recorded)
        label = {"user": "dev", "address": "127.0.0.1"}
        assert ("mosquitto_logins_refused_total", label, 3.0) in found
        assert ("mosquitto_acl_denied_total", label, 3.0) in found
        assert len(found) == len(recorded.refused) + len(recorded.denied)

    def test_reading_line_by_line_gives_the_same_summary(self):
        for lines in LINES.values():
            summary = LogSummary()
            for line in lines:
                summary.read([f"{line}\n"])
            assert samples(summary) == samples(LogSummary().read(lines))


class TestWebSocketsOf20:
    """2.0 logs a refused login like the end of a connection: without a login before it."""

    START = "mosquitto version 2.0.22 starting"
    CLOSED = "Client c closed its connection."

    def test_a_client_that_ends_without_a_session_was_refused(self):
        summary = log(self.START, logs_in("10.0.0.1:9"), self.CLOSED, self.CLOSED)

        assert {key: count.times for key, count in summary.refused.items()} == {("u", UNKNOWN): 1}

    def test_nothing_is_known_of_sessions_before_the_log_begins(self):
        assert log(self.CLOSED).refused == {}
        lines = [f"{DAY}T03:00:00: {text}" for text in (self.START, self.CLOSED)]
        assert LogSummary(whole=False).read(lines).refused == {}

    def test_2_1_logs_the_refusal_itself(self):
        assert log("mosquitto version 2.1.2 starting", self.CLOSED).refused == {}

    def test_a_session_whose_login_line_was_cut_off_has_ended(self):
        client = "C" * 970
        login = f"{logs_in('10.0.0.1:9', client=client)}"[: LINE - len(f"{DAY}T03:00:00: ")]
        summary = log(self.START, login, f"Client {client} closed its connection.")

        assert summary.refused == {}
        assert summary.parties[UNKNOWN].ended is not None


class TestAddressOf20:
    """2.0 logs no address with a refused login: it is taken from the pending connections."""

    def test_single_pending_connection(self):
        assert (UNKNOWN, "10.0.0.1") in log(connects("10.0.0.1:9"), refused()).refused

    def test_several_pending_connections_from_one_address(self):
        summary = log(connects("10.0.0.1:8"), connects("10.0.0.1:9"), refused(), refused())
        assert summary.refused[UNKNOWN, "10.0.0.1"].times == 2

    def test_several_pending_addresses_are_unknown(self):
        summary = log(
            connects("10.0.0.1:8"),
            connects("10.0.0.2:9"),
            refused(),
            logs_in("10.0.0.2:9"),
            refused(),
        )
        assert set(summary.refused) == {(UNKNOWN, UNKNOWN)}

    def test_address_is_known_again_after_all_pending_ones_ended(self):
        summary = log(
            *(connects("10.0.0.1:8"), connects("10.0.0.2:9"), refused(), refused()),
            *(connects("10.0.0.3:9"), refused()),
        )
        assert {key: count.times for key, count in summary.refused.items()} == {
            (UNKNOWN, UNKNOWN): 2,
            (UNKNOWN, "10.0.0.3"): 1,
        }

    def test_finished_connections_are_not_pending(self):
        summary = log(
            *(connects("10.0.0.1:8"), logs_in("10.0.0.1:8")),
            *(connects("10.0.0.2:8"), "Client <unknown> closed its connection."),
            *(connects("10.0.0.3:8"), refused()),
        )
        assert set(summary.refused) == {(UNKNOWN, "10.0.0.3")}

    def test_connections_past_the_timeout_are_not_pending(self):
        summary = LogSummary().read(
            [
                f"{DAY}T03:00:00: {connects('10.0.0.1:8')}",
                f"{DAY}T03:02:00: {connects('10.0.0.2:8')}",
                f"{DAY}T03:02:01: {refused()}",
            ]
        )
        assert set(summary.refused) == {(UNKNOWN, "10.0.0.2")}

    def test_no_pending_connection_is_unknown(self):
        assert set(log(refused()).refused) == {(UNKNOWN, UNKNOWN)}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("Client a [9.9.9.9:1] [10.0.0.1:5] disconnected: not authorised.", "10.0.0.1"),
        ("Client a [9.9.9.9:1] disconnected: not authorised. disconnected, not authorised.", None),
        ("Client a [fd00:3::10:4711] disconnected: not authorised.", "fd00:3::10"),
    ],
)
def test_client_id_is_not_taken_for_an_address(line, key):
    assert set(log(line).refused) == {(UNKNOWN, key or UNKNOWN)}


def test_client_id_is_not_taken_for_a_user():
    summary = log(logs_in("10.0.0.1:5", client="x (p2, c1, k60, u'admin').", user="lamp"))
    assert set(summary.parties) == {"lamp"}


class TestForgedClientIds:
    """Client ids that imitate log lines do not change the summary."""

    def test_only_a_line_feed_ends_a_line(self):
        forged = f"{DAY}T03:00:00: {logs_in('10.6.6.6:5', 'z', 'admin')}"
        for end in "\u2028\u2029\x0b\x0c\x1c\x85\r":
            summary = log(refused(f"x{end}{forged}{end}y"))
            assert (set(summary.parties), len(summary.refused)) == (set(), 1)

    @pytest.mark.parametrize("length", range(920, 1000))
    def test_long_id_that_cuts_off_the_refusal_is_counted(self, length):
        for text in (refused("A" * length), f"Client {'A' * length} [10.0.0.1:9] disconnected: x"):
            cut = f"{DAY}T03:00:01: {text}"[:LINE]
            summary = log(connects("10.0.0.1:9")).read([cut])
            if len(cut) == LINE:
                assert summary.refused[UNKNOWN, "10.0.0.1"].times == 1
                assert next(iter(summary.refused_clients))[0].startswith("AAA")

    def test_truncated_character(self):
        bytes_ = f"{DAY}T03:00:01: {refused('aé' + 'é' * 600)}".encode()[:LINE]
        summary = LogSummary().read([bytes_.decode(errors="replace")])
        assert summary.refused[UNKNOWN, UNKNOWN].times == 1

    def test_disconnect_with_a_long_id_is_not_a_refusal(self):
        long = "A" * 1200
        lines = [logs_in("10.0.0.1:9", long, "admin"), f"Client {long} closed its connection."]
        cut = [f"{DAY}T03:00:0{n}: {line}"[:LINE] for n, line in enumerate(lines)]
        summary = LogSummary().read(cut)
        assert not summary.refused
        # The end of the line with the user name is missing.
        assert set(summary.parties) == {UNKNOWN}
        assert summary.parties[UNKNOWN].ended is not None
        assert summary.read(cut[1:]).refused[UNKNOWN, UNKNOWN].times == 1

    def test_truncated_login_has_an_unknown_user(self):
        forged = " (p2, c1, k60, u'admin')."
        line = f"{DAY}T03:00:01: New client connected from 10.6.6.6:5 as "
        line += "x" * (LINE - len(line) - len(forged)) + forged
        assert set(LogSummary().read([line]).parties) == {UNKNOWN}
        assert set(LogSummary().read([line.replace("xxx", "xx")]).parties) == {"admin"}

    @pytest.mark.parametrize(
        "words",
        [
            "disconnected.",
            "closed its connection.",
            "[10.0.0.2:1] disconnected: session taken over.",
            "has exceeded timeout, disconnecting.",
        ],
    )
    def test_id_with_words_of_mosquitto_ends_only_its_own_session(self, words):
        for other in ("desk disconnected by me", "desk [10.0.0.9:1] disconnected by me"):
            summary = log(
                logs_in("10.0.0.1:1", "desk", "admin"),
                logs_in("10.0.0.2:1", other, "lamp"),
                f"Client {other} {words}",
            )
            assert summary.parties["lamp"].ended is not None
            assert summary.parties["admin"].ended is None

    def test_topic_that_looks_like_the_end_of_an_id(self):
        summary = log(
            logs_in("10.0.0.1:1", "desk", "admin"),
            "Denied PUBLISH from desk (d0, q1, r0, m1, 'a (d0, q0, r0, m0, 'x', ... (1 bytes))",
        )
        assert set(summary.denied) == {("admin", "10.0.0.1")}

    def test_denial_with_a_long_id_is_counted(self):
        lines = [logs_in("10.0.0.1:9", "A" * 990, "admin"), f"Denied PUBLISH from {'A' * 990} (d0"]
        cut = [f"{DAY}T03:00:0{n}: {line}"[:LINE] for n, line in enumerate(lines)]
        assert set(LogSummary().read(cut).denied) == {(UNKNOWN, "10.0.0.1")}


class TestClaimedAddresses:
    """2.0 logs any text that a WebSocket client sends as X-Forwarded-For as its peer, port 0."""

    @pytest.mark.parametrize(
        ("header", "address"),
        [
            ("10.1.1.1", f"10.1.1.1{CLAIMED}"),
            ("fd00::5", f"fd00::5{CLAIMED}"),
            ("not-an-address", UNKNOWN),
            ("10.1.1.1, 10.2.2.2", UNKNOWN),
            ("a as admin (p2, c1, k60, u'admin').", UNKNOWN),
            ("10.0.0.1:9 as x (p2, c1, k60, u'admin').", UNKNOWN),
            ("\x1b[2J", UNKNOWN),
        ],
    )
    def test_address_is_marked_and_any_other_text_is_unknown(self, header, address):
        summary = log(logs_in(f"{header}:0"), "Client c disconnected.")

        assert set(summary.logins) == {("u", "c", address)}
        assert summary.parties["u"].ended is not None

    def test_client_id_that_looks_like_one_is_not_taken_for_it(self):
        summary = log(connects("10.0.0.1:9"), logs_in("10.0.0.1:9", client="x:0 as victim"))

        assert set(summary.logins) == {("u", "x:0 as victim", "10.0.0.1")}

    def test_text_that_hides_the_whole_login_counts_as_one_of_an_unknown_user(self):
        summary = log(("New client connected from " + "y" * 1000)[:LINE])

        assert set(summary.logins) == {(UNKNOWN, UNKNOWN, UNKNOWN)}


def test_older_logins_are_not_counted_but_known():
    later = LogSummary().read([f"{DAY}T03:00:04: mosquitto version 2.0.21 starting"]).begin
    summary = log(
        *(connects("10.0.0.1:1"), refused()),
        *(connects("10.0.0.1:2"), logs_in("10.0.0.1:2", "ctl", "lamp")),
        *(connects("10.0.0.1:3"), refused("ctl")),
        since=later,
    )
    assert set(summary.refused) == {("lamp", "10.0.0.1")}
    assert not summary.logins
    assert "lamp" in summary.parties


class TestLoginsOfChecks:
    """A check logs in as every user and without a login; any client can use its client id."""

    def test_logins_of_a_check_are_not_those_of_the_user(self):
        summary = log(logs_in("10.0.0.1:1", "check-01", "admin"))
        assert not summary.parties
        assert ("admin", "check-*", "10.0.0.1") in summary.logins
        summary.read([f"{DAY}T03:09:00: {logs_in('10.0.0.2:1', 'desk', 'admin')}"])
        summary.read([f"{DAY}T03:09:01: {logs_in('10.0.0.1:2', 'check-02', 'admin')}"])
        summary.read([f"{DAY}T03:09:02: Client check-02 disconnected."])
        assert summary.parties["admin"].client == "desk"
        assert summary.parties["admin"].ended is None
        summary.read([f"{DAY}T03:09:03: Client desk disconnected."])
        summary.read([f"{DAY}T03:10:01: {logs_in('10.0.0.1:2', 'check-03', 'admin')}"])
        summary.read([f"{DAY}T03:10:02: Client check-03 disconnected."])
        assert f"{summary.parties['admin'].ended:%H:%M:%S}" == "03:09:03"

    def test_refusals_of_a_check_are_excluded_up_to_its_number(self):
        lines = [f"{DAY}T03:04:05: {refused('check-0123')}"] * 5
        assert not LogSummary(own=5).read(lines).refused
        assert LogSummary(own=3).read(lines).refused[UNKNOWN, UNKNOWN].times == 2
        later = [line.replace("T03", "T04") for line in lines]
        assert not LogSummary(own=5).read(lines + later).refused


class TestProbesOfUp:
    """An `up` asks the broker in its container whether it refuses what it must refuse."""

    @pytest.mark.parametrize("client", ["ready-01", "anonymous-01", "canary-01"])
    def test_refusals_on_the_loopback_are_not_counted(self, client):
        summary = log(
            f"Client {client} [127.0.0.1:9] disconnected: not authorised.",
            *(connects("127.0.0.1:8"), refused(client)),
        )
        assert (summary.refused, summary.refused_clients, summary.hours) == ({}, {}, {})

    def test_another_machine_cannot_hide_behind_these_ids(self):
        summary = log("Client ready-01 [10.0.0.1:9] disconnected: not authorised.")
        assert set(summary.refused_clients) == {("ready-*", "10.0.0.1")}

    def test_unknown_addresses_are_excluded_up_to_the_number_of_a_check(self):
        summary = LogSummary(own=1).read(
            f"{DAY}T03:00:00: {refused('anonymous-01')}" for _ in range(3)
        )
        assert summary.refused[UNKNOWN, UNKNOWN].times == 2


def test_broker_start_ends_every_connection():
    summary = log(logs_in("10.0.0.1:1"), "mosquitto version 2.1.2 starting")
    assert summary.parties["u"].ended is not None


def test_session_takeover_does_not_end_the_connection():
    summary = log(
        logs_in("10.0.0.1:1"),
        logs_in("10.0.0.1:2"),
        "Client c [10.0.0.1:1] disconnected: session taken over.",
    )
    assert summary.parties["u"].ended is None


def test_default_timestamps_are_read_and_other_lines_ignored():
    summary = LogSummary().read(["1767323045: " + refused(), refused(), "", "half a li"])
    assert summary.refused[UNKNOWN, UNKNOWN].times == 1
    assert summary.begin is not None
    assert summary.begin.isoformat() == "2026-01-02T03:04:05+00:00"


def test_number_of_names_is_limited():
    summary = LogSummary(most=10).read(
        line
        for n in range(500)
        for line in (
            f"{DAY}T03:04:05: {logs_in(f'10.0.{n // 250}.{n % 250}:1', f'c{n}', f'u{n}')}",
            f"{DAY}T03:04:05: Client g{n} [11.0.{n // 250}.{n % 250}:1] disconnected: "
            "not authorised.",
            f"{DAY}T03:04:05: Denied PUBLISH from c{n} (d0, q1, r0, m1, 'x', ... (1 bytes))",
            f"{DAY}T03:04:05: {connects(f'12.0.0.1:{n}')}",
        )
    )
    for counts in (summary.logins, summary.refused, summary.refused_clients, summary.denied):
        assert len(counts) == 11
        assert sum(count.times for count in counts.values()) == 500
    assert summary.refused[OTHER, OTHER].times == 490
    assert len(summary._pending) <= 10


class TestAuthenticationFailures:
    def test_worst_hour_is_compared_with_the_limit(self):
        limit = SETTINGS.broker.logging.refused_per_hour
        lines = [connects("10.0.0.1:9"), refused()]
        assert too_many(SETTINGS, log(*lines * limit)) == ""
        assert f"{limit + 1} logins were refused in the hour from 2026-01-02 03:00Z" in too_many(
            SETTINGS, log(*lines * (limit + 1))
        )

    def test_limit_applies_per_hour(self):
        limit = SETTINGS.broker.logging.refused_per_hour
        summary = LogSummary().read(
            f"{DAY}T{hour:02}:00:00: {refused()}" for hour in range(20) for _ in range(limit)
        )
        assert too_many(SETTINGS, summary) == ""

    def test_most_frequent_failures_come_first(self):
        summary = log(
            *[connects("10.0.0.1:9"), refused()],
            *[connects("10.0.0.2:9"), refused()] * 2,
        )
        assert worst_address(summary) == ("10.0.0.2", 2)
        lines = render_failures(SETTINGS, summary)
        assert lines[0].endswith(": 3")
        assert lines[1].startswith("  2 unknown from 10.0.0.2, last 2026-01-02T03:00:05Z")
        assert "not logged" in lines[-1]
        data = as_data(SETTINGS, summary)
        assert [row["times"] for row in data["refused"]] == [2, 1]
        assert data["deniedAreLogged"] is False
