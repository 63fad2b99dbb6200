"""What the rules give, day by day, from what people have done and when which run was done; and what is wrong with it.

The oracle takes from the product only when something happened: that a run was done, that the relay took a mail. What
had to happen it reckons with the pure rules from its own model of the world.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from store.rules import calendar
from store.rules.notices import EXPIRED, due_threshold
from torture.model import CompanyFact, KeyFact, Model
from torture.relay import Heard

THRESHOLDS = (14, 3, EXPIRED)
_SEND_FROM_HOUR, _REFRESH_HOUR = 7, 2  # local
_ENOUGH = timedelta(hours=40)  # with a relay and a worker that are well, after which nothing may still wait
_FARTHEST = max(THRESHOLDS)
_OLDEST = 31
_REMEMBERED_NIGHTS = 31
_NEWS_FOR = timedelta(days=7)
_DIGESTS = {"key_expiring", "key_expired"}

About = tuple[date, int, str]  # expiry date, threshold, address


@dataclass
class Notice:
    """What one recipient is owed about one key: owed, told, covered by a tighter one, or withdrawn.

    Or perhaps: it was owed before, and nobody can say whether a worker found that to be untrue, so that it may be owed
    again, or too late, so that it is not.
    """

    state: str
    since: datetime
    withdrawn_at: datetime | None = None
    unsure: bool = False  # handed over, but whoever did it does not know what became of it


@dataclass
class Faults:
    """What is wrong, in sentences."""

    lost: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misjudged: list[str] = field(default_factory=list)  # ambiguous, but no answer was cut; or the other way round

    @property
    def all(self) -> list[str]:
        """All of them, each with its kind."""
        return [f"{kind}: {text}" for kind, texts in self.__dict__.items() for text in texts]


class Oracle:
    """Follows a run of the chaos. Every instant is the true time."""

    def __init__(self, model: Model, what_became: Callable[[KeyFact, About], str] = lambda _key, _about: "") -> None:
        self.model = model
        self.what_became = what_became  # of a notice that is told as lost, for whoever reads of it
        self.faults = Faults()
        self.notices: dict[int, dict[About, Notice]] = defaultdict(dict)
        self.markers: dict[tuple[str, date], tuple[str, datetime]] = {}  # -> due or missed, and when it was written
        self.calm: list[list[datetime]] = []  # spans in which relay and a worker were well
        self.labels: dict[str, KeyFact] = {}
        self.zones = model.by_zone()
        self.told_mails: set[str] = set()
        self.told_again = 0  # because nobody knew that it had been told
        self.done: dict[str, list[date]] = {}  # the nights of a zone on which a worker marked, in order
        self.parts: dict[tuple[str, date], set[tuple[str, date]]] = {}
        self.unsure: set[tuple[str, date]] = set()

    # What happens

    def weather(self, now: datetime, *, is_calm: bool, was: datetime) -> None:
        """From `was` to `now` relay and a worker were well, or not."""
        if is_calm and self.calm and self.calm[-1][1] == was:
            self.calm[-1][1] = now
        elif is_calm:
            self.calm.append([was, now])

    def key_changed(self, key: KeyFact) -> None:
        """The key has another date, or was revoked or rotated: what is still owed about it is withdrawn."""
        abouts = self.notices.get(key.id, {})
        for about, notice in abouts.items():
            if notice.state == "owed":
                notice.state, notice.withdrawn_at = "withdrawn", self._now
                self._had_to_be_told(key, about, notice, self._now)
        self._uncover(abouts)

    def switched_off(self, company: CompanyFact) -> None:
        """What is owed about the company's keys is withdrawn."""
        for key in company.keys:
            self.key_changed(key)

    def recipients_changed(self, company: CompanyFact) -> None:
        """Who does not hear of the company's keys any more is owed nothing about them."""
        for key in company.keys:
            there = company.recipients(key.resource)
            for about, notice in self.notices.get(key.id, {}).items():
                if notice.state == "owed" and about[2] not in there:
                    notice.state, notice.withdrawn_at = "withdrawn", self._now
                    self._had_to_be_told(key, about, notice, self._now)

    def at(self, now: datetime) -> None:
        """The time has come to `now`."""
        self._now = now

    def sweep(self, zone: str, day: date) -> None:
        """The notices of a local day were written."""
        for company in self.zones.get(zone, []):
            if company.enabled_at is None:
                continue
            for key in company.keys:
                left = (key.expires_on - day).days
                if -_OLDEST <= left <= _FARTHEST and key.revoked_at is None and key.rotated_at is None:
                    self._owe(key, day)

    def marked(self, zone: str, night: date, *, is_done: bool) -> None:
        """The markers of a night were written: all of them, or those of the first companies."""
        at = calendar.at_local(night, _REFRESH_HOUR, 0, calendar.zone(zone))
        due = {(company.name, night) for company in self.zones.get(zone, []) if _is_due(company, at)}
        missed = self._missed_before(zone, night)
        for state, wanted in (("due", due), ("missed", missed)):
            for each in wanted:
                self.markers.setdefault(each, (state, self._now))
        self._undecided(zone, night, due | missed)
        if is_done:
            self.done.setdefault(zone, []).append(night)

    def _undecided(self, zone: str, night: date, wanted: set[tuple[str, date]]) -> None:
        """What came and went between two parts of one run may be marked, or not."""
        before = self.parts.setdefault((zone, night), wanted)
        self.unsure |= before ^ wanted

    def cut_short(self, heard: Heard) -> None:
        """A mail went and its answer did not come: it may wait for a person."""
        if heard.kind in _DIGESTS:
            for label in heard.labels:
                for notice in self._fitting(self._key(label), heard):
                    notice.unsure = True

    def left_for_a_person(self, key_id: int, about: About) -> None:
        """Its mail was cut off a second time: nobody but a person sends it once more."""
        notice = self.notices.get(key_id, {}).get(about)
        if notice is not None:
            notice.unsure = True

    def told(self, heard: Heard, *, is_excused: bool, is_same: bool, is_cut: bool) -> None:
        """A mailbox got a mail for the first time. `is_excused`: its sender had asked before whether it is true.

        `is_same`: it may have come before, and goes as it was then while any of it is true. `is_cut`: its sender ended
        or was stopped before it had the answer, so that it does not know.
        """
        if heard.kind not in _DIGESTS or heard.mail in self.told_mails:
            return
        self.told_mails.add(heard.mail)
        expired = heard.kind == "key_expired"
        if is_same and not (is_excused or is_cut or self._is_any_true(heard, expired=expired)):
            self.faults.extra.append(f"{heard.kind} to {heard.recipient} ({heard.mail}): none of it was true any more")
        for label in heard.labels:
            self._tell(self._key(label), heard, is_excused=is_excused or is_same, is_cut=is_cut)

    # What it means

    def _owe(self, key: KeyFact, day: date) -> None:
        threshold, covered = due_threshold(THRESHOLDS, today=day, expires_on=key.expires_on, set_on=key.set_on)
        if threshold is None:
            return
        abouts = self.notices[key.id]
        for address in key.company.recipients(key.resource):
            about = (key.expires_on, threshold, address)
            if self._is_open(abouts, about):
                state = "perhaps" if self._was_late(key, threshold, abouts.get(about)) else "owed"
                abouts[about] = Notice(state, self._now)
                for wider in covered:
                    about = (key.expires_on, wider, address)
                    if self._is_open(abouts, about) or abouts[about].state == "owed":
                        abouts[about] = Notice("covered", self._now)

    @staticmethod
    def _is_open(abouts: dict[About, Notice], about: About) -> bool:
        return about not in abouts or abouts[about].state == "withdrawn"

    @staticmethod
    def _uncover(abouts: dict[About, Notice]) -> None:
        for (expires_on, threshold, address), notice in abouts.items():
            tighter = (abouts.get((expires_on, each, address)) for each in THRESHOLDS if each < threshold)
            if notice.state == "covered" and not any(each and each.state in {"owed", "told"} for each in tighter):
                notice.state = "withdrawn"

    def _fitting(self, key: KeyFact, heard: Heard) -> list[Notice]:
        """What the mail may tell of the key, the tightest threshold first."""
        expired = heard.kind == "key_expired"
        abouts = self.notices.get(key.id, {})
        return [
            each for about, each in sorted(abouts.items())
            if about[0] == key.expires_on and about[2] == heard.recipient and (about[1] == EXPIRED) == expired
        ]  # fmt: skip

    def _tell(self, key: KeyFact, heard: Heard, *, is_excused: bool, is_cut: bool) -> None:
        expired = heard.kind == "key_expired"
        name = f"{heard.kind} about {key.label} to {heard.recipient} at {self._now:%F %T} ({heard.mail})"
        if not is_excused and not self._is_true(key, heard.recipient, expired=expired):
            self.faults.extra.append(f"{name}: it was not true any more")
        fit = self._fitting(key, heard)
        states = ("owed", "perhaps", "withdrawn", "covered")
        notice = next((each for state in states for each in fit if each.state == state), None)
        if notice is not None:
            notice.state, notice.unsure = "told", is_cut or heard.is_cut or heard.is_lie
        elif any(each.state == "told" and each.unsure for each in fit):
            self.told_again += 1
        elif any(each.state == "told" for each in fit):
            self.faults.doubled.append(f"{name}: by another mail before")
        elif not is_excused:
            self.faults.extra.append(f"{name}: never owed")

    def _is_any_true(self, heard: Heard, *, expired: bool) -> bool:
        return any(self._is_true(self._key(label), heard.recipient, expired=expired) for label in heard.labels)

    def _is_true(self, key: KeyFact, address: str, *, expired: bool) -> bool:
        today = calendar.local_day(self._now, key.company.zone)
        return (
            key.revoked_at is None and key.rotated_at is None and key.company.enabled_at is not None
            and address in key.company.recipients(key.resource) and (key.expires_on < today) == expired
        )  # fmt: skip

    def _key(self, label: str) -> KeyFact:
        """The key that bears the label; a rotated one has left it to its successor."""
        if label not in self.labels or self.labels[label].rotated_at is not None:
            self.labels = {key.label: key for key in self.model.every_key()}
        return self.labels[label]

    def _missed_before(self, zone: str, night: date) -> set[tuple[str, date]]:
        """The nights since the last on which a worker marked, as things stood on them."""
        last = max((each for each in self.done.get(zone, []) if each < night), default=night)
        day, found = max(last + timedelta(days=1), night - timedelta(days=_REMEMBERED_NIGHTS)), set()
        while day < night:
            at = calendar.at_local(day, _REFRESH_HOUR, 0, calendar.zone(zone))
            found |= {(company.name, day) for company in self.zones[zone] if _was_due(company, at)}
            day += timedelta(days=1)
        return found

    # What had to happen

    def _had_to_be_told(self, key: KeyFact, about: About, notice: Notice, until: datetime) -> None:
        """It was owed until then and was not told: a loss if there was time for it."""
        expires_on, threshold, address = about
        if address.startswith("gone") or notice.unsure:
            return
        begin = self._may_go_from(key, notice)
        end = calendar.start_of_day(expires_on + timedelta(days=1), key.company.zone)
        if self._had_time(begin, min(until, end if threshold >= 0 else begin + _NEWS_FOR)):
            self.faults.lost.append(
                f"notice {threshold} about {key.label} (through {expires_on}) to {address}, "
                f"owed since {notice.since:%F %T}{self.what_became(key, about)}"
            )

    @staticmethod
    def _may_go_from(key: KeyFact, notice: Notice) -> datetime:
        zone = key.company.zone
        morning = calendar.at_local(calendar.local_day(notice.since, zone), _SEND_FROM_HOUR, 0, zone)
        return max(notice.since, morning)

    def _was_late(self, key: KeyFact, threshold: int, before: Notice | None) -> bool:
        """Whether it was news no more before a worker that is well can have found it to be untrue."""
        if before is None or before.withdrawn_at is None or threshold != EXPIRED:
            return False
        late_from = self._may_go_from(key, before) + _NEWS_FOR
        return late_from < self._now and not self._had_time(before.withdrawn_at, late_from)

    def _had_time(self, since: datetime, until: datetime) -> bool:
        return any(min(end, until) - max(begin, since) >= _ENOUGH for begin, end in self.calm if end > since)

    def end(self) -> None:
        """Whatever is still owed, and could be told, is lost."""
        for key in self.model.every_key():
            for about, notice in self.notices.get(key.id, {}).items():
                if notice.state == "owed" and about[2] in key.company.recipients(key.resource):
                    self._had_to_be_told(key, about, notice, self._now)

    def check_markers(self, found: dict[tuple[str, date], str], well: list[datetime]) -> None:
        """Compare the store's markers with those owed. `well` are the instants of a worker's whole passes."""
        for missing in set(self.markers) - set(found) - self.unsure:
            self.faults.lost.append(f"refresh marker of {missing[0]} for {missing[1]}")
        for extra in set(found) - set(self.markers) - self.unsure:
            self.faults.extra.append(f"refresh marker of {extra[0]} for {extra[1]}")
        switched = {company.name: company for company in self.model.companies}
        for each in set(self.markers) & set(found):
            wanted, since = self.markers[each]
            company, state = switched[each[0]], found[each]
            if wanted == "missed" and state != "missed":
                self.faults.extra.append(f"refresh of {each[0]} for {each[1]}, which is {state}")
            soon = bisect_left(well, since + timedelta(hours=2))
            had_time = soon < len(well) and well[soon] < since + timedelta(hours=20)
            always_on = any(begin <= since and end is None for begin, end in company.spans)
            if wanted == "due" and state == "missed" and had_time and always_on:
                self.faults.lost.append(f"refresh of {each[0]} for {each[1]}")

    def check_refreshed(self, done: Counter[str]) -> None:
        """What was reported done, and taken for it, by company and night."""
        self.faults.extra.extend(f"refresh of {each}, done {times} times" for each, times in done.items() if times > 1)

    def check_covered(self, found: set[tuple[int, date, int, str]]) -> None:
        """Whoever was told of a tighter threshold owes the wider one to nobody: the store's notices say so.

        They are key, expiry date, threshold and address. Both are written in one transaction, so that who was told is
        known for sure to have been written down.
        """
        for key in self.model.every_key():
            abouts = self.notices.get(key.id, {})
            told = {(about[0], about[2]): about[1] for about, each in sorted(abouts.items()) if each.state == "told"}
            for about, notice in abouts.items():
                expires_on, threshold, address = about
                tighter = told.get((expires_on, address), threshold)
                if notice.state == "covered" and tighter < threshold and (key.id, *about) not in found:
                    self.faults.lost.append(
                        f"notice {threshold} about {key.label} ({expires_on}) to {address}: covered"
                    )


def _is_due(company: CompanyFact, at: datetime) -> bool:
    """Whether the sandbox is to be refreshed for the night that began at `at`."""
    return company.enabled_at is not None and company.enabled_at <= at and any(
        key.environment in {"sandbox", "all"} and key.created_at <= at < key.ends_at
        and (key.revoked_at is None or key.revoked_at > at) and key.resource.was_there(at)
        for key in company.keys
    )  # fmt: skip


def _was_due(company: CompanyFact, at: datetime) -> bool:
    """Whether it was to be refreshed for a night on which nobody worked."""
    return company.was_enabled(at) and any(
        key.environment in {"sandbox", "all"} and key.worked(at) for key in company.keys
    )
