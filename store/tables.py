"""Everything that Keydesk keeps, on one page.

A state is a date (`revoked_at`, not `is_revoked`); "never twice" is a unique index. Days are the company's local days,
instants are UTC. Rows are changed by the functions of the noun's own module only.
"""

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    CharField,
    Check,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from store.database import db
from store.fields import DayField, InstantField, JsonField


class Record(Model):
    """A row with a number of its own."""

    id = BigAutoField()

    class Meta:
        database = db
        legacy_table_names = False


# The installation


class Setting(Record):
    """One choice of the installation (vendor name, key prefix, notice days …), made at init and changed at the desk."""

    name = CharField(max_length=64, unique=True)
    value = JsonField()


class Admin(Record):
    """Somebody who uses the desk."""

    name = CharField(max_length=64, unique=True)
    role = CharField(max_length=16, constraints=[Check("role IN ('operator', 'company-admin', 'auditor')")])
    company_id = BigIntegerField(null=True, index=True)  # the one company a company admin may see
    created_at = InstantField()
    disabled_at = InstantField(null=True)


class AdminKey(Record):
    """A public SSH key that logs an admin in."""

    admin_id: int
    admin = ForeignKeyField(Admin, on_delete="RESTRICT")
    fingerprint = CharField(max_length=64, unique=True)  # SHA256:…, as sshd says it
    type = CharField(max_length=64)
    blob = TextField()
    comment = CharField(max_length=128)
    added_at = InstantField()
    removed_at = InstantField(null=True)


class Event(Record):
    """One line of the audit log. `hash` covers the row and the hash before it."""

    seq = BigIntegerField(unique=True)  # 1, 2, 3 … without gaps
    at = InstantField(index=True)
    actor = CharField(max_length=64)
    role = CharField(max_length=16)
    origin = CharField(max_length=128)  # where the actor sat: ssh 10.0.0.7, local tty, worker
    company_id = BigIntegerField(null=True, index=True)
    act = CharField(max_length=48)
    subject = CharField(max_length=160)  # what was changed, as "key kdp_Ab12…9zYx"
    before = JsonField(null=True)
    after = JsonField(null=True)
    hash = CharField(max_length=64)


# Who may call


class Company(Record):
    """The customer."""

    external_id = CharField(max_length=64, unique=True)
    name = CharField(max_length=128)
    folded = CharField(max_length=256, index=True)  # the name as filters compare it
    time_zone = CharField(max_length=48, index=True)
    currency = CharField(max_length=3)
    language = CharField(max_length=8)
    billing_reference = CharField(max_length=64)
    price_list = CharField(max_length=32)
    vat_category = CharField(max_length=2)
    vat_rate = CharField(max_length=8)  # percent as decimal text
    created_at = InstantField()
    deactivated_at = InstantField(null=True)


class CompanyBilling(Record):
    """Who an e-invoice to the company is made out to; empty text where it is not known. One row a company at most."""

    company_id: int
    company = ForeignKeyField(Company, unique=True, on_delete="RESTRICT")
    organisation_number = CharField(max_length=32)
    vat_id = CharField(max_length=20)
    endpoint = CharField(max_length=64)  # where e-invoices are received: 0192:987654325
    street = CharField(max_length=128)
    city = CharField(max_length=64)
    postal_code = CharField(max_length=16)
    country = CharField(max_length=2)  # ISO 3166-1
    invoice_email = CharField(max_length=254)


class Licence(Record):
    """From this instant the company pays for so many licensed users."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    at = InstantField()
    licences = IntegerField(constraints=[Check("licences >= 0")])
    recorded_at = InstantField()

    class Meta:
        indexes = ((("company", "at"), True),)


class User(Record):
    """A co-worker of a company; in the role of a key's owner, the resource."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    external_id = CharField(max_length=64)
    name = CharField(max_length=128)
    folded = CharField(max_length=256)
    email = CharField(max_length=254)  # as shown; empty when the user has none
    email_ascii = CharField(max_length=254)  # as sent to
    rights = JsonField()  # list of access rights, kept as given
    created_at = InstantField()
    deactivated_at = InstantField(null=True)
    licensed_at = InstantField(null=True)  # null: not licensed

    class Meta:
        table_name = "company_user"
        indexes = ((("company", "external_id"), True), (("company", "folded"), False))


class Integration(Record):
    """Something a company has switched on, or had."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    code = CharField(max_length=32)  # api_access
    enabled_at = InstantField(null=True)

    class Meta:
        indexes = ((("company", "code"), True),)


class IntegrationSpan(Record):
    """A time during which an integration was on; the invoice reads it."""

    integration_id: int
    integration = ForeignKeyField(Integration, on_delete="RESTRICT")
    started_at = InstantField()
    ended_at = InstantField(null=True)

    class Meta:
        indexes = ((("integration", "started_at"), False),)


class IntegrationUser(Record):
    """A user to notify."""

    integration_id: int
    integration = ForeignKeyField(Integration, on_delete="CASCADE", index=False)
    user_id: int
    user = ForeignKeyField(User, on_delete="RESTRICT")

    class Meta:
        indexes = ((("integration", "user"), True),)


class IntegrationEmail(Record):
    """An email to notify."""

    integration_id: int
    integration = ForeignKeyField(Integration, on_delete="CASCADE", index=False)
    address = CharField(max_length=254)  # as shown
    ascii = CharField(max_length=254)  # as sent to

    class Meta:
        indexes = ((("integration", "ascii"), True),)


class Key(Record):
    """An API key: all of it but the secret."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    resource_id: int
    resource = ForeignKeyField(User, on_delete="RESTRICT")
    handle = CharField(max_length=24, unique=True)  # key_…, what other systems may keep
    label = CharField(max_length=64)
    folded = CharField(max_length=128)  # the label as filters compare it
    environment = CharField(max_length=8, constraints=[Check("environment IN ('prod', 'sandbox', 'all')")])
    kind = CharField(max_length=8, constraints=[Check("kind IN ('standard', 'test')")])
    digest = BlobField(unique=True)  # HMAC-SHA-256(pepper, key), 32 bytes
    pepper_version = IntegerField()
    first = CharField(max_length=8)  # the first 8 characters, for people
    last = CharField(max_length=4)
    created_at = InstantField()
    created_by = CharField(max_length=64)
    expires_on = DayField()  # the last local day on which the key works
    expiry_set_on = DayField()  # the local day on which that date was chosen
    lifetime_days = IntegerField()  # expires_on - expiry_set_on, which decides about notices
    ends_at = InstantField(
        index=True
    )  # from this instant it is refused: the day after expires_on begins, or the overlap ends
    revoked_at = InstantField(null=True)
    revoked_by = CharField(max_length=64, null=True)
    revoked_reason = CharField(max_length=200, null=True)
    rotated_at = InstantField(null=True)  # since then a successor has taken over; ends_at is the end of the overlap
    rotated_from_id: int | None
    rotated_from = ForeignKeyField("self", null=True, unique=True, on_delete="RESTRICT")

    class Meta:
        table_name = "api_key"
        # Wide enough for the company list to count living keys without reading them.
        indexes = ((("company", "created_at", "revoked_at", "ends_at"), False),)


class KeySpan(Record):
    """A time during which a key worked; the invoice reads it. An expired key with a new date begins a second span."""

    key_id: int
    key = ForeignKeyField(Key, on_delete="RESTRICT")
    started_at = InstantField()
    ended_at = InstantField()

    class Meta:
        indexes = ((("key", "started_at"), True),)


class LastUse(Record):
    """When and from where a key was last accepted; apart from the key, so that a check never writes to it."""

    key_id: int
    key = ForeignKeyField(Key, unique=True, on_delete="RESTRICT")
    at = InstantField()
    address = CharField(max_length=64)
    uses = BigIntegerField()  # accepted checks in all


# Who is told


class Email(Record):
    """One mail to one recipient, from the moment it is owed to the relay's answer."""

    company_id = BigIntegerField(null=True, index=True)
    kind = CharField(max_length=32)
    recipient = CharField(max_length=254)  # the address as sent to
    recipient_name = CharField(max_length=128)
    language = CharField(max_length=8)
    dedupe_key = CharField(max_length=200, unique=True)
    message_id = CharField(max_length=128, unique=True)
    context = JsonField()  # what the mail says, without any secret
    subject = CharField(max_length=256, null=True)  # known once rendered
    message = BlobField(null=True)  # the bytes, frozen at the first attempt
    state = CharField(
        max_length=16,
        constraints=[
            Check("state IN ('queued', 'claimed', 'handing-over', 'sent', 'failed', 'ambiguous', 'withdrawn')"),
        ],
    )
    queued_at = InstantField()
    next_at = InstantField()  # not before
    useless_after = InstantField(null=True)  # past this the mail would only confuse
    attempts = IntegerField(default=0)
    resends = IntegerField(default=0)  # after a lost answer
    owner = CharField(max_length=64, null=True)
    lease_until = InstantField(null=True)
    sent_at = InstantField(null=True)
    reply = TextField(null=True)  # what the relay said last, or why it was withdrawn

    class Meta:
        indexes = (
            SQL(
                "CREATE INDEX email_pending ON email (next_at, id) WHERE state IN ('queued', 'claimed', 'handing-over')"
            ),
            SQL("CREATE INDEX email_attention ON email (id) WHERE state IN ('failed', 'ambiguous')"),
        )


class Notice(Record):
    """A mail owed to one recipient for one reason, once: a key's threshold for one expiry date."""

    key_id: int
    key = ForeignKeyField(Key, on_delete="RESTRICT", index=False)
    expires_on = DayField()
    threshold = IntegerField()  # days before expiry; -1 when it has expired
    recipient = CharField(max_length=254)  # empty: nobody could be reached
    state = CharField(
        max_length=16,
        constraints=[Check("state IN ('mailed', 'covered', 'withdrawn', 'unreachable')")],
    )
    email_id: int | None
    email = ForeignKeyField(Email, null=True, on_delete="RESTRICT")
    created_at = InstantField()

    class Meta:
        indexes = (
            (("key", "expires_on", "threshold", "recipient"), True),
            SQL("CREATE INDEX notice_unreachable ON notice (id) WHERE state = 'unreachable'"),
        )


# What the worker does


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
    error = TextField(null=True)

    class Meta:
        indexes = (
            (("job", "scope", "period"), True),
            SQL("CREATE INDEX run_pending ON run (not_before, id) WHERE state IN ('due', 'running')"),
        )


class Worker(Record):
    """A worker process, as it last said of itself."""

    name = CharField(max_length=64, unique=True)  # host:pid:random
    host = CharField(max_length=64)
    boot_id = CharField(max_length=40)
    pid = IntegerField()
    version = CharField(max_length=16)
    started_at = InstantField()
    last_tick = InstantField(index=True)
    stopped_at = InstantField(null=True)
    last_error = TextField(null=True)


class ClockSeen(Record):
    """The latest instant that a worker has planned for; a clock that leaps far past it is held, not believed."""

    max_seen = InstantField()


class RefreshMarker(Record):
    """That a company's sandbox is to be, is being, or has been refreshed from production for one night."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    night = DayField(index=True)
    state = CharField(max_length=8, constraints=[Check("state IN ('due', 'running', 'done', 'failed', 'missed')")])
    due_at = InstantField()
    attempt = IntegerField(default=0)
    token = CharField(max_length=40, null=True)
    claimed_by = CharField(max_length=64, null=True)
    lease_until = InstantField(null=True)
    started_at = InstantField(null=True)
    finished_at = InstantField(null=True)
    message = TextField(null=True)

    class Meta:
        indexes = (
            (("company", "night"), True),
            SQL("CREATE INDEX refresh_marker_pending ON refresh_marker (due_at, id) WHERE state IN ('due', 'running')"),
        )


# What it costs


class PriceList(Record):
    """One published version of a price list in one currency; never changed."""

    code = CharField(max_length=32)
    currency = CharField(max_length=3)
    version = IntegerField()
    effective_from = DayField()  # the first of a month
    items = JsonField()
    published_at = InstantField()
    published_by = CharField(max_length=64)

    class Meta:
        indexes = ((("code", "currency", "version"), True), (("code", "currency", "effective_from"), True))


class ContractTerm(Record):
    """What was agreed with one company, for whole months, with its reference."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT")
    line = CharField(max_length=32)
    kind = CharField(max_length=32)
    value = CharField(max_length=64, null=True)
    first_month = CharField(max_length=7)
    last_month = CharField(max_length=7, null=True)
    reference = CharField(max_length=128)


class UsageBatch(Record):
    """One file of usage that was taken in, from one source; taken once."""

    source = CharField(max_length=64)  # the gateway or machine it comes from
    batch = CharField(max_length=128)  # what the source calls it, or the file's SHA-256
    received_at = InstantField()  # when Keydesk learned of it; what came after a month was final is late
    rows = BigIntegerField()
    rejected = BigIntegerField()
    first_day = DayField(null=True)  # the days it tells of; null: not known, so that it may be any
    last_day = DayField(null=True)

    class Meta:
        indexes = ((("source", "batch"), True), (("received_at",), False))


class UsageDay(Model):
    """How much one key was used on one local day of its company, as one batch told it.

    Of all tables the one with the most rows: they lie in the order in which an invoice reads them.
    """

    batch_id: int
    batch = ForeignKeyField(UsageBatch, on_delete="RESTRICT", index=False)
    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    key_id: int
    key = ForeignKeyField(Key, on_delete="RESTRICT", index=False)
    day = DayField()
    environment = CharField(max_length=8, constraints=[Check("environment IN ('prod', 'sandbox')")])
    requests = BigIntegerField()
    bytes = BigIntegerField()  # request and response bodies

    class Meta:
        database = db
        legacy_table_names = False
        primary_key = CompositeKey("company", "day", "key", "environment", "batch")


class InvoiceMonth(Record):
    """One company's month: rated, parked with its error, held for review with its reason, or final.

    Revision 1 is the month as it was invoiced first. Each further revision is final from the start: it credits what was
    invoiced until then and bills the month again, and its totals are what that adds.
    """

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    month = CharField(max_length=7, index=True)
    revision = IntegerField(default=1)
    state = CharField(max_length=8, constraints=[Check("state IN ('draft', 'parked', 'held', 'final')")])
    currency = CharField(max_length=3)
    vat_category = CharField(max_length=2, default="S")
    vat_rate = CharField(max_length=8, default="0")  # percent as decimal text, as the totals were taxed
    net_minor = BigIntegerField(default=0)
    vat_minor = BigIntegerField(default=0)
    gross_minor = BigIntegerField(default=0)
    explain = JsonField(null=True)
    policy = JsonField(null=True)  # the choices, other than the product's own, that it was rated by
    facts_hash = CharField(max_length=32, null=True)  # of all that it was rated from: equal facts are not rated again
    error = TextField(null=True)
    released_hash = CharField(max_length=32, null=True)  # the facts_hash that a person let pass
    reason = CharField(max_length=200, null=True)  # why it was released, or credited and billed again
    carried = IntegerField(default=0)  # lines that nobody had decided about when it was made final; a later draft asks
    rated_at = InstantField()
    final_at = InstantField(null=True)

    class Meta:
        indexes = (
            (("company", "month", "revision"), True),
            SQL("CREATE INDEX invoice_month_carried ON invoice_month (company_id, month) WHERE carried > 0"),
        )


class InvoiceLine(Record):
    """What one company owes for one thing in one month, with its derivation."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    month = CharField(max_length=7, index=True)
    line_key = CharField(max_length=64)
    revision = IntegerField(default=1)
    description = CharField(max_length=200)
    because = TextField()
    quantity = CharField(max_length=24)
    unit = CharField(max_length=64)
    unit_price = CharField(max_length=24)
    currency = CharField(max_length=3)
    gross_minor = BigIntegerField()
    discount_minor = BigIntegerField()
    net_minor = BigIntegerField()
    status = CharField(max_length=16)  # ok, needs_review; after a person's decision approved or waived
    decided_by = CharField(max_length=64, null=True)
    decided_at = InstantField(null=True)
    decided_reason = CharField(max_length=200, null=True)
    decided_minor = BigIntegerField(null=True)  # the net amount that was decided about; another one is asked again
    corrects = CharField(max_length=96, null=True)  # the month and line that an adjustment, credit or rebill puts right
    transfer = CharField(
        max_length=16,
        default="to-transfer",
        constraints=[Check("transfer IN ('to-transfer', 'transferred', 'do-not-transfer')")],
    )
    reason = CharField(max_length=16)
    price_list = CharField(max_length=64)
    explain = JsonField()
    rated_at = InstantField()

    class Meta:
        indexes = (
            (("company", "month", "line_key", "revision"), True),
            SQL("CREATE INDEX invoice_line_review ON invoice_line (id) WHERE status = 'needs_review'"),
        )


# In the order in which they can be made. In writing: a list taken from subclasses misses what was not imported.
# fmt: off
TABLES: tuple[type[Model], ...] = (
    Setting, Admin, AdminKey, Event,
    Company, CompanyBilling, Licence, User, Integration, IntegrationSpan, IntegrationUser, IntegrationEmail,
    Key, KeySpan, LastUse,
    Email, Notice,
    Run, Worker, ClockSeen, RefreshMarker,
    PriceList, ContractTerm, UsageBatch, UsageDay, InvoiceMonth, InvoiceLine,
)
