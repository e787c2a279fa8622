"""Who came and who was turned away, from lines that each release line has written."""

import pytest
from declared import ROOT, settings_of

from broker.logs.authentication_failures import as_data, render_refusals, too_many, worst_address
from broker.logs.log_parser import LINE, OTHER, UNKNOWN, LogSummary, samples

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
    """What is read of lines that came a second after each other."""
    seen = LogSummary() if since is None else LogSummary(since=since)
    return seen.read(f"{DAY}T03:{n // 60:02}:{n % 60:02}: {text}" for n, text in enumerate(texts))


def arrives(peer):
    return f"New connection from {peer} on port 1883."


def refused(client="x"):
    return f"Client {client} disconnected, not authorised."


def let_in(peer, client="c", user="u"):
    return f"New client connected from {peer} as {client} (p2, c1, k60, u'{user}')."


class TestRecorded:
    def test_who_was_let_in(self, recorded):
        assert set(recorded.parties) == {"admin", "dev"}
        assert ("admin", "cl-admin", "127.0.0.1") in recorded.logins
        assert ("admin", "auto-*", "172.17.0.1") in recorded.logins
        assert ("dev", "odd (p4, c1) id", "127.0.0.1") in recorded.logins
        assert recorded.logins["dev", "stays", "127.0.0.1"].times >= 2
        # A reload ended the last of dev's connections.
        assert all(each.ended is not None for each in recorded.parties.values())

    def test_who_was_refused_and_from_where(self, recorded):
        # Those whose client id had been dev's before, and the guesses of whom nobody knows.
        assert recorded.refused["dev", "127.0.0.1"].times == 3
        assert recorded.refused[UNKNOWN, "127.0.0.1"].times == 4
        clients = {client for client, _ in recorded.refused_clients}
        assert clients == {"cl-wrong", "cl-wrong5", "anon", "auto-*"}

    def test_what_was_denied(self, recorded):
        assert {key: each.times for key, each in recorded.denied.items()} == {
            ("dev", "127.0.0.1"): 3
        }

    def test_it_is_samples_for_prometheus(self, recorded):
        found = samples(recorded)
        label = {"user": "dev", "address": "127.0.0.1"}
        assert ("mosquitto_logins_refused_total", label, 3.0) in found
        assert ("mosquitto_acl_denied_total", label, 3.0) in found
        assert len(found) == len(recorded.refused) + len(recorded.denied)

    def test_it_may_be_read_bit_by_bit(self):
        for lines in LINES.values():
            seen = LogSummary()
            for each in lines:
                seen.read([f"{each}\n"])
            assert samples(seen) == samples(LogSummary().read(lines))


def test_websocket_refusals_are_logged_by_2_1_alone():
    assert (UNKNOWN, "172.17.0.1") not in LogSummary().read(LINES["2.0"]).refused
    assert "disconnected: not authorised" in "".join(LINES["2.1"])


class TestAddressOf20:
    """2.0 names no address where it refuses: it is paired with those that have come."""

    def test_the_only_one_that_has_come(self):
        assert (UNKNOWN, "10.0.0.1") in log(arrives("10.0.0.1:9"), refused()).refused

    def test_one_of_several_with_the_same_address(self):
        seen = log(arrives("10.0.0.1:8"), arrives("10.0.0.1:9"), refused(), refused())
        assert seen.refused[UNKNOWN, "10.0.0.1"].times == 2

    def test_one_of_several_is_not_guessed(self):
        seen = log(
            arrives("10.0.0.1:8"), arrives("10.0.0.2:9"), refused(), let_in("10.0.0.2:9"), refused()
        )
        assert set(seen.refused) == {(UNKNOWN, UNKNOWN)}

    def test_once_all_are_accounted_for_it_is_known_again(self):
        seen = log(
            *(arrives("10.0.0.1:8"), arrives("10.0.0.2:9"), refused(), refused()),
            *(arrives("10.0.0.3:9"), refused()),
        )
        assert {key: each.times for key, each in seen.refused.items()} == {
            (UNKNOWN, UNKNOWN): 2,
            (UNKNOWN, "10.0.0.3"): 1,
        }

    def test_one_that_was_let_in_or_left_is_not_it(self):
        seen = log(
            *(arrives("10.0.0.1:8"), let_in("10.0.0.1:8")),
            *(arrives("10.0.0.2:8"), "Client <unknown> closed its connection."),
            *(arrives("10.0.0.3:8"), refused()),
        )
        assert set(seen.refused) == {(UNKNOWN, "10.0.0.3")}

    def test_one_that_has_been_silent_for_too_long_is_not_it(self):
        seen = LogSummary().read(
            [
                f"{DAY}T03:00:00: {arrives('10.0.0.1:8')}",
                f"{DAY}T03:02:00: {arrives('10.0.0.2:8')}",
                f"{DAY}T03:02:01: {refused()}",
            ]
        )
        assert set(seen.refused) == {(UNKNOWN, "10.0.0.2")}

    def test_without_one_it_is_unknown(self):
        assert set(log(refused()).refused) == {(UNKNOWN, UNKNOWN)}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("Client a [9.9.9.9:1] [10.0.0.1:5] disconnected: not authorised.", "10.0.0.1"),
        ("Client a [9.9.9.9:1] disconnected: not authorised. disconnected, not authorised.", None),
        ("Client a [fd00:3::10:4711] disconnected: not authorised.", "fd00:3::10"),
    ],
)
def test_a_client_id_does_not_pass_for_what_mosquitto_writes(line, key):
    assert set(log(line).refused) == {(UNKNOWN, key or UNKNOWN)}


def test_a_client_id_does_not_pass_for_a_user():
    seen = log(let_in("10.0.0.1:5", client="x (p2, c1, k60, u'admin').", user="lamp"))
    assert set(seen.parties) == {"lamp"}


class TestAnIdIsWhateverAClientSays:
    """Nobody let these in; each tries to be somebody else, or nobody, in what is read."""

    def test_what_python_takes_for_an_end_of_a_line_is_none(self):
        forged = f"{DAY}T03:00:00: {let_in('10.6.6.6:5', 'z', 'admin')}"
        for end in "\u2028\u2029\x0b\x0c\x1c\x85\r":
            seen = log(refused(f"x{end}{forged}{end}y"))
            assert (set(seen.parties), len(seen.refused)) == (set(), 1)

    @pytest.mark.parametrize("length", range(920, 1000))
    def test_one_that_is_long_enough_to_cut_the_refusal_off(self, length):
        for text in (refused("A" * length), f"Client {'A' * length} [10.0.0.1:9] disconnected: x"):
            cut = f"{DAY}T03:00:01: {text}"[:LINE]
            seen = log(arrives("10.0.0.1:9")).read([cut])
            if len(cut) == LINE:
                assert seen.refused[UNKNOWN, "10.0.0.1"].times == 1
                assert next(iter(seen.refused_clients))[0].startswith("AAA")

    def test_a_character_that_was_cut(self):
        bytes_ = f"{DAY}T03:00:01: {refused('aé' + 'é' * 600)}".encode()[:LINE]
        seen = LogSummary().read([bytes_.decode(errors="replace")])
        assert seen.refused[UNKNOWN, UNKNOWN].times == 1

    def test_a_long_one_that_was_let_in_leaves_and_is_not_refused(self):
        long = "A" * 1200
        lines = [let_in("10.0.0.1:9", long, "admin"), f"Client {long} closed its connection."]
        cut = [f"{DAY}T03:00:0{n}: {each}"[:LINE] for n, each in enumerate(lines)]
        seen = LogSummary().read(cut)
        assert not seen.refused
        # Whoever it was: the line has no end that tells.
        assert set(seen.parties) == {UNKNOWN}
        assert seen.parties[UNKNOWN].ended is not None
        assert seen.read(cut[1:]).refused[UNKNOWN, UNKNOWN].times == 1

    def test_a_login_that_was_cut_is_nobodys(self):
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
    def test_one_that_holds_mosquittos_words_ends_its_own_session_alone(self, words):
        for other in ("desk disconnected by me", "desk [10.0.0.9:1] disconnected by me"):
            seen = log(
                let_in("10.0.0.1:1", "desk", "admin"),
                let_in("10.0.0.2:1", other, "lamp"),
                f"Client {other} {words}",
            )
            assert seen.parties["lamp"].ended is not None
            assert seen.parties["admin"].ended is None

    def test_a_topic_that_looks_like_the_end_of_an_id(self):
        seen = log(
            let_in("10.0.0.1:1", "desk", "admin"),
            "Denied PUBLISH from desk (d0, q1, r0, m1, 'a (d0, q0, r0, m0, 'x', ... (1 bytes))",
        )
        assert set(seen.denied) == {("admin", "10.0.0.1")}

    def test_a_denial_of_a_long_one_is_counted(self):
        lines = [let_in("10.0.0.1:9", "A" * 990, "admin"), f"Denied PUBLISH from {'A' * 990} (d0"]
        cut = [f"{DAY}T03:00:0{n}: {each}"[:LINE] for n, each in enumerate(lines)]
        assert set(LogSummary().read(cut).denied) == {(UNKNOWN, "10.0.0.1")}


def test_what_is_older_is_not_counted_but_known():
    later = LogSummary().read([f"{DAY}T03:00:04: mosquitto version 2.0.21 starting"]).begin
    seen = log(
        *(arrives("10.0.0.1:1"), refused()),
        *(arrives("10.0.0.1:2"), let_in("10.0.0.1:2", "ctl", "lamp")),
        *(arrives("10.0.0.1:3"), refused("ctl")),
        since=later,
    )
    assert set(seen.refused) == {("lamp", "10.0.0.1")}
    assert not seen.logins
    assert "lamp" in seen.parties


class TestOurOwnCheck:
    """It logs in as everybody and as nobody, and anybody may take an id like its own."""

    def test_it_is_nobody_who_was_here(self):
        seen = log(let_in("10.0.0.1:1", "check-01", "admin"))
        assert not seen.parties
        assert ("admin", "check-*", "10.0.0.1") in seen.logins
        seen.read([f"{DAY}T03:09:00: {let_in('10.0.0.2:1', 'desk', 'admin')}"])
        seen.read([f"{DAY}T03:09:01: {let_in('10.0.0.1:2', 'check-02', 'admin')}"])
        seen.read([f"{DAY}T03:09:02: Client check-02 disconnected."])
        assert seen.parties["admin"].client == "desk"
        assert seen.parties["admin"].ended is None
        seen.read([f"{DAY}T03:09:03: Client desk disconnected."])
        seen.read([f"{DAY}T03:10:01: {let_in('10.0.0.1:2', 'check-03', 'admin')}"])
        seen.read([f"{DAY}T03:10:02: Client check-03 disconnected."])
        assert f"{seen.parties['admin'].ended:%H:%M:%S}" == "03:09:03"

    def test_its_refusals_are_none_as_many_as_it_makes(self):
        lines = [f"{DAY}T03:04:05: {refused('check-0123')}"] * 5
        assert not LogSummary(own=5).read(lines).refused
        assert LogSummary(own=3).read(lines).refused[UNKNOWN, UNKNOWN].times == 2
        later = [each.replace("T03", "T04") for each in lines]
        assert not LogSummary(own=5).read(lines + later).refused


def test_a_start_of_the_broker_ends_every_connection():
    seen = log(let_in("10.0.0.1:1"), "mosquitto version 2.1.2 starting")
    assert seen.parties["u"].ended is not None


def test_a_connection_that_another_took_over_is_not_an_end():
    seen = log(
        let_in("10.0.0.1:1"),
        let_in("10.0.0.1:2"),
        "Client c [10.0.0.1:1] disconnected: session taken over.",
    )
    assert seen.parties["u"].ended is None


def test_mosquittos_own_timestamps_are_read_and_other_lines_are_not():
    seen = LogSummary().read(["1767323045: " + refused(), refused(), "", "half a li"])
    assert seen.refused[UNKNOWN, UNKNOWN].times == 1
    assert seen.begin is not None
    assert seen.begin.isoformat() == "2026-01-02T03:04:05+00:00"


def test_new_names_without_end_do_not_fill_the_memory():
    seen = LogSummary(most=10).read(
        line
        for n in range(500)
        for line in (
            f"{DAY}T03:04:05: {let_in(f'10.0.{n // 250}.{n % 250}:1', f'c{n}', f'u{n}')}",
            f"{DAY}T03:04:05: Client g{n} [11.0.{n // 250}.{n % 250}:1] disconnected: "
            "not authorised.",
            f"{DAY}T03:04:05: Denied PUBLISH from c{n} (d0, q1, r0, m1, 'x', ... (1 bytes))",
            f"{DAY}T03:04:05: {arrives(f'12.0.0.1:{n}')}",
        )
    )
    for counts in (seen.logins, seen.refused, seen.refused_clients, seen.denied):
        assert len(counts) == 11
        assert sum(each.times for each in counts.values()) == 500
    assert seen.refused[OTHER, OTHER].times == 490
    assert len(seen._pending) <= 10


class TestRefusals:
    def test_the_worst_hour_is_held_against_the_limit(self):
        most = SETTINGS.broker.logging.refused_per_hour
        lines = [arrives("10.0.0.1:9"), refused()]
        assert too_many(SETTINGS, log(*lines * most)) == ""
        assert f"{most + 1} logins were refused in the hour from 2026-01-02 03:00Z" in too_many(
            SETTINGS, log(*lines * (most + 1))
        )

    def test_limits_are_of_an_hour_not_of_all(self):
        most = SETTINGS.broker.logging.refused_per_hour
        seen = LogSummary().read(
            f"{DAY}T{hour:02}:00:00: {refused()}" for hour in range(20) for _ in range(most)
        )
        assert too_many(SETTINGS, seen) == ""

    def test_the_most_frequent_come_first(self):
        seen = log(
            *[arrives("10.0.0.1:9"), refused()],
            *[arrives("10.0.0.2:9"), refused()] * 2,
        )
        assert worst_address(seen) == ("10.0.0.2", 2)
        lines = render_refusals(SETTINGS, seen)
        assert lines[0].endswith(": 3")
        assert lines[1].startswith("  2 unknown from 10.0.0.2, last 2026-01-02T03:00:05Z")
        assert "not logged" in lines[-1]
        data = as_data(SETTINGS, seen)
        assert [each["times"] for each in data["refused"]] == [2, 1]
        assert data["deniedAreLogged"] is False
