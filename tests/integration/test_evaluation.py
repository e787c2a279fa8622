"""The evaluator decides as Mosquitto does: random cases compared on both release lines."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from mqtt_packets import Connection, LoginRefused
from random_rules import ROOT, Login, Round, draw_round

from broker.access.evaluate import Action, evaluate
from broker.access.topic_filters import matches
from broker.credentials.password_hashes import hash_generated, render_passwd

SUITES = ("trixie", "forky")
SEED = int(os.environ.get("VERDICTS_SEED", "7"))
ROUNDS = 20
USERS = 16
TOPICS = 32
ENOUGH = 10_000
NOT_AUTHORIZED = 135
PASSWORD = "of-everybody"

CONF = """\
listener 1883
allow_anonymous false
password_file /mosquitto/config/passwd
acl_file /mosquitto/config/acl
max_inflight_messages 1000
max_queued_messages 100000
log_type error
log_type warning
sys_interval 1
"""


@dataclass(frozen=True)
class Bench:
    """A broker that loads one ACL file after another."""

    port: int
    folder: Path
    signal: Callable[[], object]

    def load(self, acl: str, users: Iterable[str]) -> str:
        """Reload with *acl*; return root's password, which is in the new files only."""
        password = secrets.token_hex(16)
        passwords = dict.fromkeys(users, PASSWORD) | {ROOT: password}
        ones = dict.fromkeys(passwords, "1")
        (self.folder / "passwd").write_text(
            render_passwd(hash_generated(passwords, seed="s", generations=ones, iterations=1))
        )
        (self.folder / "acl").write_text(acl)
        self.signal()
        deadline = time.monotonic() + 120
        while not self.admits_root(password):
            assert time.monotonic() < deadline, "the broker did not load the new files"
            time.sleep(0.01)
        return password

    def admits_root(self, password: str) -> bool:
        try:
            Connection(self.port, ROOT, password, "canary").close()
        except (LoginRefused, OSError):
            return False
        return True


@dataclass
class Score:
    """The answers of one broker, and its disagreements with the evaluator."""

    version: str
    answers: Counter[tuple[str, bool]] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.answers.total()

    def compare(self, login: Login, action: Action, topic: str, *, broker: bool) -> None:
        evaluation = evaluate(
            login.principal,
            action,
            topic,
            client_id=login.client_id,
            version="2.0" if self.version.startswith("2.0") else "2.1",
        )
        self.answers[action, broker] += 1
        if evaluation.allowed != broker:
            rules = [rule.line for rule in (*login.principal.topics, *login.principal.patterns)]
            self.disagreements.append(
                f"{self.version}: {login.principal.name!r} as {login.client_id!r} {action} "
                f"{topic!r}: broker {broker}, model {evaluation}; rules {rules}"
            )


@pytest.fixture(scope="module")
def bench(
    fallback_image: Callable[[str], str],
    docker: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Bench]]:
    """Return ``bench("trixie")``, which starts a broker of a Debian suite without rules."""
    started: list[str] = []

    def start(suite: str) -> Bench:
        folder = tmp_path_factory.mktemp(f"bench-{suite}")
        folder.chmod(0o755)
        for file, text in {"mosquitto.conf": CONF, "acl": "", "passwd": ""}.items():
            (folder / file).write_text(text)
        name = f"evaluation-{secrets.token_hex(4)}"
        started.append(name)
        docker(
            *("run", "--detach", "--name", name, "--publish", "127.0.0.1::1883"),
            *("--user", "1883:1883", "--volume", f"{folder}:/mosquitto/config:ro"),
            *(fallback_image(suite), "mosquitto", "-c", "/mosquitto/config/mosquitto.conf"),
        )
        port = int(docker("port", name, "1883/tcp").rpartition(":")[2])
        return Bench(port, folder, lambda: docker("exec", name, "kill", "-HUP", "1"))

    yield start
    for name in started:
        docker("rm", "--force", "--volumes", name, check=False)


def ask(bench: Bench, asked: Round, score: Score) -> None:
    """Try a round on the broker and compare the answers with the evaluator."""
    password = bench.load(asked.acl, [login.principal.name for login in asked.logins])
    for login in asked.logins:
        with Connection(bench.port, login.principal.name, PASSWORD, login.client_id) as client:
            for topic, code in zip(login.publishes, client.publish(login.publishes), strict=True):
                score.compare(login, "publish", topic, broker=code != NOT_AUTHORIZED)
    with Connection(bench.port, ROOT, password, "statistics") as client:
        _, of_the_broker = client.subscribe(["$SYS/#"])
    with ExitStack() as stack:
        root = stack.enter_context(Connection(bench.port, ROOT, password, "root"))
        clients: list[tuple[Login, Connection, set[str]]] = []
        for login in asked.logins:
            client = stack.enter_context(
                Connection(bench.port, login.principal.name, PASSWORD, login.client_id)
            )
            codes, arrived = client.subscribe(login.subscribes)
            for filter_, code in zip(login.subscribes, codes, strict=True):
                score.compare(login, "subscribe", filter_, broker=code < 128)
            clients.append((login, client, arrived))
        refused = [code for code in root.publish(asked.published) if code == NOT_AUTHORIZED]
        assert not refused, "root may publish to all topics"
        for login, client, before in clients:
            arrived = before | client.arrived()
            shared = any(filter_.startswith("$share/") for filter_ in login.subscribes)
            # A shared subscription gets no retained messages, such as the broker's own topics.
            system = () if shared else sorted(of_the_broker)[::9]
            for topic in (*asked.published, *system):
                if any(_subscription_matches(filter_, topic) for filter_ in login.subscribes):
                    score.compare(login, "receive", topic, broker=topic in arrived)
                else:
                    assert topic not in arrived, f"{topic} came without a subscription to it"


def _subscription_matches(filter_: str, topic: str) -> bool:
    """Return whether a subscription matches *topic*; a shared one never matches a ``$`` topic."""
    if filter_.startswith("$share/"):
        return not topic.startswith("$") and matches(filter_.split("/", 2)[2], topic)
    return matches(filter_, topic)


def test_evaluator_and_broker_agree_on_random_cases(bench, fallback_image, tell):
    scores = []
    for suite in SUITES:
        version = fallback_image(suite).partition(":")[2].partition("-")[0]
        score, random, broker = Score(version), Random(SEED), bench(suite)
        for _ in range(ROUNDS):
            ask(broker, draw_round(random, users=USERS, topics=TOPICS), score)
        scores.append(score)
    disagreements = [disagreement for score in scores for disagreement in score.disagreements]
    cases = ", ".join(f"{score.version}: {score.cases:,}" for score in scores)
    total = sum(score.cases for score in scores)
    tell(f"{total:,} cases (seed {SEED}): {len(disagreements)} disagreements ({cases})")
    assert disagreements == []
    for score in scores:
        assert score.cases >= ENOUGH
        # Enough cases with either answer; the broker never refuses a subscription.
        for action in ("publish", "receive"):
            for answer in (True, False):
                assert score.answers[action, answer] > 1_000, score.answers
        assert score.answers["subscribe", False] == 0
