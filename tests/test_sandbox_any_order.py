"""What becomes of a sandbox's nights when pipelines, people and the next night come in any order?"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta

import pytest
from any_order import holds
from cast import OLAV
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sandbox_nights import DAY, HALF_AN_HOUR, NIGHT, TWO_OCLOCK
from test_refresh_limits import with_sandboxes

from store import markers, marking, sandbox_holds
from store.database import run_sql
from store.errors import Refused
from store.markers import LeaseLost, Report
from store.tables import Company, RefreshMarker, SandboxHold

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
About = tuple[int, date]  # company and night


@dataclass
class Night:
    """What the contract says of one night of one company."""

    state: str
    due_at: datetime
    attempt: int = 0
    failures: int | None = None
    token: str | None = None
    lease_until: datetime | None = None
    message: str | None = None

    def waits(self, state: str, message: str | None = None) -> None:
        """Whoever claimed it may report nothing any more."""
        self.state, self.message, self.token, self.lease_until = state, message, None, None

    def is_given_up(self) -> None:
        has_failed = self.failures is not None and self.message is not None
        self.waits("failed" if has_failed else "missed", self.message)


@dataclass
class Stop:
    """That a sandbox is left alone."""

    company: int
    kind: str  # hold, quarantine
    reason: str
    since: datetime
    last_night: date | None = None
    until: datetime | None = None

    @property
    def said(self) -> str:
        return f"{'Held' if self.kind == 'hold' else 'In quarantine'}: {self.reason}"

    def covers(self, night: date) -> bool:
        return self.last_night is None or self.last_night >= night

    def stood(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or self.until > at)


NAMES = [each.name for each in fields(Night)]

TOLD = """
    SELECT (SELECT count(*) FROM event WHERE act IN ('sandbox.done', 'sandbox.failed')),
           (SELECT count(*) FROM email WHERE dedupe_key LIKE 'sandbox_failed:%')
"""


def two_oclock(night: date) -> datetime:
    return TWO_OCLOCK + (night - NIGHT)


class Sandboxes(RuleBasedStateMachine):
    """Two companies' sandboxes. Each step is taken in the store and by the contract."""

    @initialize(failed=st.sampled_from([0, 2]))
    def begin(self, failed: int) -> None:
        for table in ("refresh_marker", "sandbox_hold", "email", "event"):
            run_sql(f"DELETE FROM {table}")
        Company.update(deactivated_at=None).execute()
        self.names = {row.id: row.external_id for row in Company.select() if row.external_id.startswith("c")}
        self.companies = sorted(self.names)
        self.left_at: dict[int, datetime | None] = dict.fromkeys(self.names)
        self.night, self.now = NIGHT - DAY, TWO_OCLOCK
        self.nights: dict[About, Night] = {}
        self.stops: list[Stop] = []
        self.tokens: list[tuple[str, About]] = []
        self.reports = self.mailed = 0
        self.done_before: dict[About, Night] = {}
        self.the_next_night_is_marked(1)
        for _ in range(failed):
            self.claim(limit=2, at_once=0, lease=HALF_AN_HOUR, then="fail")
            self.the_next_night_is_marked(1)

    # What happens

    @rule(
        by=st.sampled_from([MINUTE, HALF_AN_HOUR - MINUTE, HALF_AN_HOUR, 3 * HOUR, -MINUTE, "a night", "three nights"])
    )
    def time_passes(self, by: timedelta | str) -> None:
        if isinstance(by, timedelta):
            self.now += by
        else:
            self.the_next_night_is_marked(1 if by == "a night" else 3)

    def the_next_night_is_marked(self, days: int) -> None:
        since, self.night = self.night if self.nights else None, self.night + days * DAY
        self.now = max(self.now, two_oclock(self.night))
        away = [self.night - day * DAY for day in range(days - 1, 0, -1)] if since else []

        list(marking.create_in_slices("Europe/Oslo", self.night, self.now, hour=2, window=0, since=since))

        for stop in self.stops:
            if stop.until is None and not stop.covers(self.night):
                stop.until = self.now
        for each in self.nights.values():
            if each.state == "due":
                each.is_given_up()
        for company in self.names:
            for night in away:
                stood = [stop for stop in self.stops if stop.company == company and stop.covers(night)]
                was_held = any(stop.stood(two_oclock(night)) for stop in stood)
                self.is_marked(company, night, "held" if was_held else "missed")
            holds = sorted(self.standing(company, self.night), key=lambda stop: stop.kind)
            self.is_marked(company, self.night, "held" if holds else "due", holds[0].said if holds else None)

    @rule(
        limit=st.integers(1, 2),
        at_once=st.sampled_from([0, 0, 1]),
        lease=st.sampled_from([HALF_AN_HOUR, 30 * HOUR]),
        then=st.sampled_from([None, None, None, "done", "fail", "fail and try again"]),
    )
    def claim(self, limit: int, at_once: int, lease: timedelta, then: str | None) -> None:
        self.leases_end()
        running = [about for about, each in self.nights.items() if each.state == "running"]
        most = min(limit, max(0, at_once - len(running))) if at_once else limit
        busy = {company for company, _ in running}
        ready = [about for about, each in self.nights.items() if each.state == "due" and each.due_at <= self.now]
        ready = [each for each in ready if not (self.left_at[each[0]] or self.standing(*each) or each[0] in busy)]
        ids = {(row.company_id, row.night): row.id for row in RefreshMarker.select()}
        wanted = sorted(ready, key=lambda about: (self.nights[about].due_at, ids[about]))[:most]

        found = markers.claim(OLAV, limit, lease, self.now, "pipeline", at_once=at_once)

        assert [(each.company, each.night) for each in found] == [(self.names[each[0]], each[1]) for each in wanted]
        for about, claim in zip(wanted, found, strict=True):
            night = self.nights[about]
            night.state, night.attempt, night.lease_until = "running", night.attempt + 1, self.now + lease
            night.token = claim.token
            assert (claim.attempt, claim.lease_until) == (night.attempt, night.lease_until)
            self.tokens.append((claim.token, about))
        if found and then is not None:
            self.report(*self.tokens[-1], then)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), what=st.sampled_from(["heartbeat", "put back"]))
    def hold_or_put_back(self, data: st.DataObject, what: str) -> None:
        token, about = self.a_token(data)
        night = self.nights[about]
        acts: dict[str, Callable[[], object]] = {
            "heartbeat": lambda: markers.heartbeat(OLAV, token, HALF_AN_HOUR, self.now),
            "put back": lambda: markers.put_back(OLAV, token),
        }
        if night.token != token or night.state != "running":
            with pytest.raises(LeaseLost):
                acts[what]()
            return

        acts[what]()

        if what == "heartbeat":
            night.lease_until = self.now + HALF_AN_HOUR
        else:
            self.is_let_go(about)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), what=st.sampled_from(["done", "fail", "fail and try again"]))
    def report_what_became_of_one(self, data: st.DataObject, what: str) -> None:
        self.report(*self.a_token(data), what)

    @precondition(lambda self: any(night.state == "running" for night in self.nights.values()))
    @rule()
    def let_go_of_what_is_over(self) -> None:
        assert markers.return_expired(self.now) == self.leases_end()

    @rule(reason=st.sampled_from(["demo", "audit"]), nights=st.sampled_from([None, 0, 1]))
    def hold(self, reason: str, nights: int | None) -> None:
        company = self.companies[0]
        last_night = None if nights is None else (self.now + HOUR).date() + nights * DAY  # Oslo's day

        sandbox_holds.hold(OLAV, company, reason, last_night, self.now)

        stop = self.stop(company, "hold")
        if stop is None:
            stop = Stop(company, "hold", reason, self.now)
            self.stops.append(stop)
        stop.reason, stop.last_night = reason, last_night
        self.hold_what_is_due(stop)

    @precondition(lambda self: any(stop.until is None for stop in self.stops))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        company = data.draw(st.sampled_from(self.companies))
        standing = [stop for kind in ("hold", "quarantine") if (stop := self.stop(company, kind)) is not None]

        ended = sandbox_holds.release(OLAV, company, self.now)

        assert [each.kind for each in ended] == [stop.kind for stop in standing]
        for stop in standing:
            self.ends(stop)

    @rule(data=st.data(), how=st.sampled_from(["the night", "the newest"]))
    def again(self, data: st.DataObject, how: str) -> None:
        company = data.draw(st.sampled_from(self.companies))
        newest = max(about for about in self.nights if about[0] == company)
        about = newest if how == "the newest" else data.draw(st.sampled_from(sorted(self.nights)))
        act = self.act_again(about, how)
        night, quarantine = self.nights[about], self.stop(about[0], "quarantine")
        becomes_due = self.is_newest(about) and (
            night.state in {"failed", "missed", "held"} or (night.state == "due" and night.due_at > self.now)
        )
        may_stay = how == "the newest" and (night.state != "done" or quarantine is not None)
        is_held = any(stop.kind == "hold" for stop in self.standing(*about))
        if is_held or not (becomes_due or may_stay):
            with pytest.raises(Refused):
                act()
            return

        told = act()

        if quarantine is not None:
            self.ends(quarantine)
        if becomes_due:
            night.waits("due")
            night.due_at = self.now
        assert (told.night, told.state) == (None if night.state == "done" else about[1], night.state)
        assert told.released == (quarantine is not None)

    @rule()
    def leave_or_come_back(self) -> None:
        company = self.companies[1]
        self.left_at[company] = self.now if self.left_at[company] is None else None
        Company.update(deactivated_at=self.left_at[company]).where(Company.id == company).execute()

    # What holds after each step

    @invariant()
    def each_night_is_as_the_contract_says(self) -> None:
        found = {
            (row.company_id, row.night): Night(**{name: getattr(row, name) for name in NAMES})
            for row in RefreshMarker.select()
        }
        assert found == self.nights
        assert self.done_before.items() <= found.items(), "what is done stays as it is"
        self.done_before = {about: night for about, night in found.items() if night.state == "done"}

    @invariant()
    def what_stands_is_what_was_held_and_not_let_go(self) -> None:
        found = [
            (row.company_id, row.kind, row.reason, row.last_night)
            for row in SandboxHold.select().where(SandboxHold.ended_at.is_null()).order_by(SandboxHold.id)
        ]
        wanted = [stop for stop in self.stops if stop.until is None]
        assert found == [(stop.company, stop.kind, stop.reason, stop.last_night) for stop in wanted]

    @invariant()
    def one_night_of_a_company_is_due_and_one_refresh_of_it_runs(self) -> None:
        for state in ("due", "running"):
            companies = [company for (company, _), night in self.nights.items() if night.state == state]
            assert len(companies) == len(set(companies)), state

    @invariant()
    def each_report_is_told_once(self) -> None:
        assert tuple(run_sql(TOLD).fetchone()) == (self.reports, self.mailed)

    # Who, and which

    def a_token(self, data: st.DataObject) -> tuple[str, About]:
        """Most often one that stands."""
        standing = [each for each in self.tokens if self.nights[each[1]].token == each[0]]
        return data.draw(st.sampled_from(3 * standing + self.tokens))

    def is_newest(self, about: About) -> bool:
        return about == max(each for each in self.nights if each[0] == about[0])

    def stop(self, company: int, kind: str) -> Stop | None:
        standing = [each for each in self.stops if (each.company, each.kind, each.until) == (company, kind, None)]
        return standing[0] if standing else None

    def standing(self, company: int, night: date) -> list[Stop]:
        found = (self.stop(company, kind) for kind in ("hold", "quarantine"))
        return [stop for stop in found if stop is not None and stop.covers(night)]

    def act_again(self, about: About, how: str) -> Callable[[], sandbox_holds.Again]:
        if how == "the newest":
            return lambda: sandbox_holds.again_for(OLAV, about[0], self.now)
        marker = RefreshMarker.get(RefreshMarker.company == about[0], RefreshMarker.night == about[1])
        return lambda: sandbox_holds.again(OLAV, marker.id, self.now)

    # What the contract says

    def is_marked(self, company: int, night: date, state: str, message: str | None = None) -> None:
        left_at = self.left_at[company]
        if left_at is None or left_at > two_oclock(night):
            self.nights[company, night] = Night(state, two_oclock(night), message=message)

    def is_let_go(self, about: About) -> None:
        night = self.nights[about]
        if not self.is_newest(about):
            night.is_given_up()
        else:
            night.waits("held" if self.standing(*about) else "due", night.message)

    def leases_end(self) -> int:
        over = [
            about
            for about, night in self.nights.items()
            if night.state == "running" and night.lease_until is not None and night.lease_until <= self.now
        ]
        for about in over:
            self.is_let_go(about)
        return len(over)

    def is_reported(self, about: About, state: str, message: str, failures: int) -> None:
        night = self.nights[about]
        night.state, night.message, night.failures, night.lease_until = state, message, failures, None
        self.reports += 1

    def hold_what_is_due(self, stop: Stop) -> None:
        for (company, when), night in self.nights.items():
            if company == stop.company and night.state == "due" and stop.covers(when):
                night.waits("held", stop.said)

    def ends(self, stop: Stop) -> None:
        stop.until = self.now
        if stop.kind == "quarantine":  # the count begins anew
            self.nights[max(about for about in self.nights if about[0] == stop.company)].failures = 0

    def report(self, token: str, about: About, what: str) -> None:
        night = self.nights[about]
        may_be_retried = what == "fail and try again" and self.is_newest(about) and not self.standing(*about)
        if what == "done":
            is_refused = night.state not in {"running", "done"}
        else:
            is_refused = night.state == "done" or (night.state == "failed" and may_be_retried)
        if night.token != token or is_refused:
            with pytest.raises(LeaseLost if night.token != token else Refused):
                self.say(token, what)
            return

        told = self.say(token, what)

        if night.state == "running" and what == "done":
            self.is_reported(about, "done", "412 tables", 0)
        elif night.state == "running":
            self.has_failed(about, may_be_retried=may_be_retried)
        assert told == Report(
            company=self.names[about[0]],
            night=about[1],
            attempt=night.attempt,
            state=night.state,
            failures=night.failures or 0,
            due_at=night.due_at if night.state == "due" else None,
            quarantined=self.stop(about[0], "quarantine") is not None,
        )

    def say(self, token: str, what: str) -> Report:
        if what == "done":
            return markers.done(OLAV, token, "412 tables", self.now)
        return markers.fail(OLAV, token, "disk full", self.now, retry_in=None if what == "fail" else HALF_AN_HOUR)

    def has_failed(self, about: About, *, may_be_retried: bool) -> None:
        company, night = about[0], self.nights[about]
        known = sorted(each for each in self.nights if each[0] == company and each <= about)
        before = [failures for each in known if (failures := self.nights[each].failures) is not None]
        failures = 1 + (before[-1] if before else 0)
        if may_be_retried and failures < 3:
            self.is_reported(about, "due", "disk full", failures)
            night.due_at = self.now + HALF_AN_HOUR
            return
        self.is_reported(about, "failed", "disk full", failures)
        self.mailed += 1
        if failures >= 3 and self.stop(company, "quarantine") is None:
            self.stops.append(Stop(company, "quarantine", f"{failures} refreshes failed in a row.", self.now))
            self.hold_what_is_due(self.stops[-1])


def test_a_night_is_where_the_contract_puts_it_after_each_step(empty_store: str) -> None:
    with_sandboxes(2)
    holds(Sandboxes, sequences=45)
