# SPDX-License-Identifier: MIT
"""Three instances on one Redis under a mixed load, and everything that may fail does: afterwards
there is one state, made of what was acknowledged, and nobody ever saw a contradiction.

Each round has a seed, which chooses its faults; it is printed. FB_SEED repeats one round.
FLEETBIT_LONG=1 makes rounds with more and longer faults, several at a time."""
import concurrent.futures
import os
import random
import time

import pytest

from harness import LONG, SANITIZER, away_from_midnight, eventually, scale
from history import History, check_one_state
from load import ACKNOWLEDGED, REFUSED, UNKNOWN, Load

LOG_LENGTH = 1000
# Short enough that writes are given up within a fault.
SETTINGS = {"FLEETBIT_LOG_LENGTH": str(LOG_LENGTH),
            "FLEETBIT_REDIS_TIMEOUT": scale("400ms", "1s"),
            "FLEETBIT_WRITER_DEADLINE": scale("1s", "2s")}
ROUNDS = scale(20, 3)
BETWEEN = scale(150, 60)  # writes that are acknowledged before, between and after faults

_given = os.environ.get("FB_SEED")
_first = random.randrange(1 << 30)
SEEDS = [int(_given)] if _given else [_first + i for i in range(ROUNDS)]


class Fault:
    """One thing that happens, to one instance or to Redis, and is over when run() returns."""

    def __init__(self, kind, victim, seed):
        self.kind, self.victim, self.draw = kind, victim, random.Random(seed)

    def run(self, play):
        getattr(self, self.kind)(play, play.cluster, play.cluster.instances[self.victim])

    def _stop_s(self):
        return 10 if LONG else self.draw.uniform(2, 3)

    def _moment(self):
        time.sleep(self.draw.uniform(0, 0.4))

    def __repr__(self):
        return f"{self.kind}({self.victim})"

    # --- an instance ---

    def kill_instance(self, play, cluster, instance):
        instance.kill()
        self._moment()
        instance.start()

    def stop_instance(self, play, cluster, instance):
        instance.pause()
        time.sleep(self._stop_s())
        instance.resume()

    def trim_log(self, play, cluster, instance):
        """The log is trimmed past an instance that does not run meanwhile, nor finds what was
        published when it goes on."""
        before, faults = cluster.redis.token()[1], instance.proxy.chosen
        instance.pause()
        instance.proxy.faults(drop=1.0)
        others = [i for i in cluster.instances if i is not instance and i.port is not None]

        def trimmed():
            with cluster.redis.client() as client:
                first = client.xrange("fb:{default}:log", count=1)
            return int(first[0][0].split(b"-")[0]) > before + 200

        play.load.flood(others, trimmed)
        instance.proxy.faults(**faults)
        instance.resume()

    # --- the way to Redis ---

    def part_from_redis(self, play, cluster, instance):
        """Nothing comes through, for a while: then all of it, or nothing of what waited."""
        instance.proxy.hang(*instance.proxy.EVERYTHING)
        time.sleep(self._stop_s())
        if self.draw.random() < 0.5:
            instance.proxy.cut()
        instance.proxy.hang()

    def lose_answers(self, play, cluster, instance):
        """What Redis does is done, but its answers are lost; once for so long that what became of
        a write is not found out in time."""
        longest = self.draw.randrange(3)
        for i in range(3):
            instance.proxy.hang("replies")
            time.sleep(self._stop_s() if i == longest else self.draw.uniform(0.05, 0.3))
            instance.proxy.cut()
            instance.proxy.hang()
            self._moment()

    def delay_requests(self, play, cluster, instance):
        """What was sent arrives when the instance has long since connected anew."""
        for _ in range(3):
            instance.proxy.hang("requests", present=True)
            time.sleep(self.draw.uniform(0.3, 1.0))
            instance.proxy.hang()
            self._moment()

    def cut_connections(self, play, cluster, instance):
        for _ in range(5):
            instance.proxy.refuse(self.draw.random() < 0.5)
            instance.proxy.cut(everything=self.draw.random() < 0.7)
            self._moment()
        instance.proxy.refuse(False)

    # --- Redis ---

    def kill_redis(self, play, cluster, instance):
        cluster.redis.kill()
        self._moment()
        cluster.redis.start()
        play.restarts += 1

    def stop_redis(self, play, cluster, instance):
        cluster.redis.pause()
        time.sleep(self._stop_s())
        cluster.redis.resume()

    def forget_writes(self, play, cluster, instance):
        """Redis comes back without its last acknowledged writes: a few, or more than an epoch."""
        cluster.redis.kill()
        self._moment()
        count = self.draw.randrange(1, 60) if self.draw.random() < 0.7 else 400
        most = len(cluster.redis.journal().entries) - 20  # the load began with some machines
        cluster.redis.forget(min(count, most), bare=self.draw.random() < 0.5)
        cluster.redis.start()
        play.restarts += 1

    def forget_behind_a_back(self, play, cluster, instance):
        """As before, while an instance stands still: when it looks again, there are more
        revisions than it knew, and they are others."""
        instance.pause()
        known = cluster.redis.token()[1]
        play.wait_for_revision(known + 10)
        cluster.redis.kill()
        latest = cluster.redis.journal().entries[-1].revision
        cluster.redis.forget(latest - known + self.draw.randrange(5, 20))
        cluster.redis.start()
        play.restarts += 1
        play.wait_for_revision(latest + 10)
        instance.resume()


OF_REDIS = ["kill_redis", "stop_redis", "forget_writes"]
OF_INSTANCES = ["kill_instance", "stop_instance", "part_from_redis", "lose_answers",
                "delay_requests", "cut_connections"]
ALONE = ["trim_log", "forget_behind_a_back"]
KINDS = OF_REDIS + OF_INSTANCES + ALONE
QUICK = ["kill_redis", "forget_writes", "kill_instance", "delay_requests",
         "cut_connections"]


def plan(seed):
    """The faults of a round, as steps of what happens at the same time. The first is of a kind
    that rounds take in turns."""
    draw = random.Random(seed)

    def fault(kind, victim=None):
        return Fault(kind, draw.randrange(3) if victim is None else victim, draw.random())

    steps = [[fault(KINDS[seed % len(KINDS)])]]
    for _ in range(4 if LONG else 2):
        kind = draw.choice(KINDS if LONG else QUICK)
        step = [fault(kind)]
        if kind not in ALONE and draw.random() < 0.5:
            other = draw.choice([k for k in (KINDS if LONG else QUICK) if k not in ALONE])
            if not (kind in OF_REDIS and other in OF_REDIS):
                step.append(fault(other, (step[0].victim + 1) % 3))
        steps.append(step)
    return steps


# A process that a test starts ends with the thread that started it: these outlive all rounds.
_workers = concurrent.futures.ThreadPoolExecutor(2)


class Play:
    """One round while it runs."""

    def __init__(self, cluster, load):
        self.cluster, self.load = cluster, load
        self.restarts = 0

    def happen(self, step):
        futures = [_workers.submit(fault.run, self) for fault in step]
        concurrent.futures.wait(futures)
        for future in futures:
            future.result()

    def wait_for_revision(self, revision):
        eventually(lambda: self.load.broken or self.cluster.redis.token()[1] >= revision, 60)
        self.load.raise_broken()

    def confuse(self, draw):
        """From here on, no instance can rely on what is published."""
        for instance in self.cluster.instances:
            instance.proxy.faults(drop=draw.choice([0, 0.1, 0.5, 1]), repeat=draw.random() / 2,
                                  delay=draw.random() / 2, seconds=0.3)


def check_epochs(play, history):
    """A new one for every restart of Redis, and one at most for each time that an instance found
    the log trimmed past what it had; none for nothing."""
    epochs = history.journal.epochs
    names = {epoch for epoch, _ in epochs} | set(play.cluster.redis.forgotten_epochs)
    trimmed = sum(instance.errors().count("the log no longer has")
                  + instance.left_out("loading the fleet anew: ")
                  for instance in play.cluster.instances)
    assert len({epoch for epoch, _ in epochs}) == len(epochs), f"an epoch came back: {epochs}"
    assert len(names) >= 1 + play.restarts, f"{epochs} after {play.restarts} restarts"
    assert len(names) <= 1 + play.restarts + trimmed, f"new epochs for nothing: {epochs}"
    seen = set(play.load.facts.epochs)
    assert seen <= names, f"epochs that nobody began: {seen - names}"
    return len(names)


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_round(number, make_cluster, capsys):
    away_from_midnight(80 if LONG else scale(40, 120))
    seed = SEEDS[number]
    steps, draw, began = plan(seed), random.Random(seed + 1), time.monotonic()
    kinds = [fault.kind for step in steps for fault in step]
    forgetful = any(kind.startswith("forget") for kind in kinds)
    cluster = make_cluster(env=SETTINGS, seed=seed).start()
    load = Load(cluster, seed, readers=scale(2, 1), forgetful=forgetful)
    play = Play(cluster, load)
    print(f"FB_SEED={seed} {steps}")
    try:
        play.confuse(draw)
        for step in steps:
            load.wait_for(BETWEEN)
            play.happen(step)
        load.wait_for(BETWEEN)
    finally:
        cluster.heal()
        load.stop()
    for instance in cluster.instances:
        load.confirm(instance)
    token = cluster.settle()
    history = History(cluster.redis.journal(), cluster.redis.forgotten)
    history.check_tokens()
    lost = history.check_writes(load.writes)
    history.check_counters(len(load.counters))
    check_one_state(cluster, token, history, LOG_LENGTH)
    epochs = check_epochs(play, history)
    assert lost == 0 or forgetful
    with capsys.disabled():
        counts = ", ".join(f"{load.count_of(outcome)} {outcome}"
                           for outcome in (ACKNOWLEDGED, REFUSED, UNKNOWN))
        print(f"\n  FB_SEED={seed}: {steps}: {counts}, {lost} lost, {load.facts.reads} reads, "
              f"{epochs} epochs, {time.monotonic() - began:.1f} s")
    assert SANITIZER or load.facts.reads > 200, "it hardly read"
