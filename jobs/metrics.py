"""What the worker tells Prometheus, on a port of its own. Off unless asked for.

A scrape reads the store on a connection of its own, at most once in some seconds however many ask, and never holds up
the worker: it takes no lock that a write waits for.
"""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from jobs.json_log import JsonLog
from store import figures
from store.errors import Refused
from store.figures import Figures

_READ_EVERY_SECONDS: Final = 5
_LATENCIES: Final = (1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class Metrics(JsonLog):
    """The worker's log, which listens as well: how long a mail has waited is known only as it leaves."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__(clock=clock)
        self.registry = CollectorRegistry()
        self.registry.register(StoreFigures(clock))
        ProcessCollector(registry=self.registry)
        self._waited = Histogram(
            "keydesk_mail_wait_seconds",
            "From when a mail was due to when a relay took it from this worker",
            buckets=_LATENCIES,
            registry=self.registry,
        )

    def say(self, fact: str, level: str = "info", **more: Any) -> None:
        """Write one fact, and count it if it is one of a mail that has left."""
        super().say(fact, level, **more)
        if fact == "mail.sent":
            self._waited.observe(more["waited"])

    def serve(self, address: str, port: int) -> Callable[[], None]:
        """Answer at that port from now on, in threads that end with the process; gives what ends it sooner."""
        try:
            server, thread = start_http_server(port, address, self.registry)
        except OSError as error:
            raise Refused(f"The metrics cannot be told at {address}:{port}: {error.strerror}.") from None
        server.handle_error = _not_answered  # type: ignore[assignment]

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


def _not_answered(_request: object, _address: object) -> None:
    """Who hung up, as a load balancer that only looks whether the port is open, is no fact; Prometheus says `up 0`."""


def refuse_strangers(address: str, *, to_others: bool) -> None:
    """Refused for an address that other machines reach, unless told."""
    if not ipaddress.ip_address(address).is_loopback and not to_others:
        raise Refused(
            f"{address} can be reached from other machines, and nobody is asked who they are; say --metrics-to-others "
            "if a firewall keeps strangers out."
        )


class StoreFigures:
    """Reads the store when Prometheus asks; `keydesk_store_up` says whether that went well."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last: tuple[Figures | None, datetime] = (None, clock())

    def collect(self) -> Iterator[Metric]:
        """Every figure of the store. One that is not known is left out, never told as 0."""
        found, now = self._figures()
        yield _gauge("store_up", "Whether the store can be read", found is not None)
        if found is not None:
            yield from _told(found, now)

    def describe(self) -> list[Metric]:
        """Nothing: names are not asked for, or registering would read the store."""
        return []

    def _figures(self) -> tuple[Figures | None, datetime]:
        with self._lock:
            if time.monotonic() - self._read_at >= _READ_EVERY_SECONDS:
                now = self._clock()
                try:
                    self._last = (figures.read(now), now)
                except Exception:  # noqa: BLE001 - whatever it is, the worker's own log says it better
                    self._last = (None, now)
                self._read_at = time.monotonic()
            return self._last


def _told(found: Figures, now: datetime) -> Iterator[Metric]:
    last = GaugeMetricFamily(
        "keydesk_job_last_success_timestamp_seconds", "When a run of the job was done last", labels=["job"]
    )
    for job, at in found.last_success.items():
        last.add_metric([job], at.timestamp())
    yield last
    yield _by("runs", "Runs of the ledger that are not closed; overdue ones are due too", "state", found.runs)
    mails = {
        "queued": found.mails.queued,
        "on-their-way": found.mails.on_their_way,
        "failed": found.mails.failed,
        "ambiguous": found.mails.ambiguous,
    }
    yield _by("mails", "Mails of the outbox that have not left or need a person", "state", mails)
    yield _by("refreshes", "Sandbox refreshes that are owed", "state", found.refreshes)
    yield _by("sandboxes", "Sandboxes that are left alone, or not fresh for three nights", "state", found.sandboxes)
    yield _gauge("store_held", "Whether a restored store waits for a person and sends nothing", found.held)
    for name, text, since in (
        (
            "mail_oldest_wait_seconds",
            "How long the mail that is due longest waits, refused or not",
            found.oldest_mail,
        ),
        ("refresh_oldest_wait_seconds", "How long the refresh that is due longest has waited", found.oldest_refresh),
        ("refresh_age_seconds", "Since the newest refresh of any sandbox was reported done", found.last_refresh),
        (
            "clock_lag_seconds",
            "Since the latest instant that a worker has believed; negative: put back",
            found.clock_seen,
        ),
    ):
        if since is not None:
            yield _gauge(name, text, (now - since).total_seconds())
        elif name.endswith("wait_seconds"):
            yield _gauge(name, text, 0)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"keydesk_{name}", text, value=float(value))


def _by(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"keydesk_{name}", text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family
