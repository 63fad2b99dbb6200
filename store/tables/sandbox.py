"""A company's sandbox: the nights on which it is refreshed, and the times in which it is left alone."""

from peewee import SQL, CharField, Check, ForeignKeyField, IntegerField, TextField

from store.fields import DayField, InstantField
from store.tables.companies import Company
from store.tables.record import Record


class RefreshMarker(Record):
    """That a company's sandbox is to be, is being, or has been refreshed from production for one night."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    night = DayField(index=True)
    state = CharField(
        max_length=8, constraints=[Check("state IN ('due', 'running', 'done', 'failed', 'missed', 'held')")]
    )
    due_at = InstantField()
    attempt = IntegerField(default=0)
    # Refreshes of the company that have failed in a row, this one included; null: nothing was reported for this night.
    failures = IntegerField(null=True)
    token = CharField(max_length=40, null=True)  # of the last claim, for as long as it may still be reported
    claimed_by = CharField(max_length=64, null=True)
    lease_until = InstantField(null=True)
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    message = TextField(null=True)

    class Meta:
        indexes = (
            (("company", "night"), True),
            SQL("CREATE INDEX refresh_marker_pending ON refresh_marker (due_at, id) WHERE state IN ('due', 'running')"),
            SQL("CREATE UNIQUE INDEX refresh_marker_running ON refresh_marker (company_id) WHERE state = 'running'"),
            SQL("CREATE INDEX refresh_marker_done ON refresh_marker (night) WHERE state = 'done'"),
        )


class SandboxHold(Record):
    """A time in which a company's sandbox is not refreshed: a person holds it, or it failed too often."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    kind = CharField(max_length=10, constraints=[Check("kind IN ('hold', 'quarantine')")])
    reason = CharField(max_length=200)
    last_night = DayField(null=True)  # the last night that is held; null: until somebody lets go
    started_at = InstantField()
    started_by = CharField(max_length=64)
    ended_at = InstantField(null=True)
    ended_by = CharField(max_length=64, null=True)

    class Meta:
        indexes = (
            SQL("CREATE UNIQUE INDEX sandbox_hold_open ON sandbox_hold (company_id, kind) WHERE ended_at IS NULL"),
        )
