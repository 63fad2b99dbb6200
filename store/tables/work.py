"""What the worker does: runs, workers, the clock."""

from peewee import SQL, BigIntegerField, CharField, Check, IntegerField, TextField

from store.fields import InstantField, JsonField
from store.tables.record import Record


class Run(Record):
    """That a job is owed, runs, or has run for one period in one time zone ('all' where the zone does not matter)."""

    job = CharField(max_length=32)
    scope = CharField(max_length=48)
    period = CharField(max_length=24)  # a local day, a month, or an hour
    state = CharField(
        max_length=12, constraints=[Check("state IN ('due', 'running', 'done', 'failed', 'held', 'missed')")]
    )
    bounds = JsonField(null=True)  # the instants fixed when it was planned
    owner = CharField(max_length=64, null=True)
    attempt = IntegerField(default=0)  # the fence: a worker that lost its lease cannot finish
    lease_until = InstantField(null=True)
    planned_at = InstantField()
    not_before = InstantField()
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    rows = IntegerField(null=True)  # how many facts it wrote
    cursor = BigIntegerField(null=True)  # how far its slices have come: another attempt goes on after that
    error = TextField(null=True)

    class Meta:
        indexes = (
            (("job", "scope", "period"), True),
            SQL("CREATE INDEX run_pending ON run (not_before, id) WHERE state IN ('due', 'running')"),
            SQL("CREATE INDEX run_ahead ON run (job, scope, period) WHERE state IN ('due', 'running')"),
        )


class Worker(Record):
    """A worker process, as it last said of itself."""

    name = CharField(max_length=64, unique=True)  # host:pid:random
    host = CharField(max_length=64)
    boot_id = CharField(max_length=40)
    pid_namespace = BigIntegerField(default=0)
    pid = IntegerField()
    kind = CharField(max_length=8, default="stays", constraints=[Check("kind IN ('stays', 'pass', 'job')")])
    version = CharField(max_length=16)
    started_at = InstantField()
    last_tick = InstantField(index=True)
    stopped_at = InstantField(null=True)
    last_error = TextField(null=True)


class ClockSeen(Record):
    """The latest instant that a worker has planned for; a clock that leaps far past it is held, not believed."""

    max_seen = InstantField()


class MachineBoot(Record):
    """When a boot of a machine began, by a clock that was believed; the machine counts from there, whoever sets it."""

    boot_id = CharField(max_length=40, unique=True)
    began_at = InstantField()
