"""What it costs: price lists, terms, usage, months and their lines."""

from peewee import SQL, BigIntegerField, CharField, Check, CompositeKey, ForeignKeyField, IntegerField, Model, TextField

from store.database import db
from store.fields import DayField, InstantField, JsonField
from store.tables.companies import Company, Key
from store.tables.record import Record


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
    sha256 = CharField(max_length=64, default="", index=True)  # of its text: another text under its name is refused
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


class SellerFacts(Record):
    """Who invoiced and where to pay, as the settings said when a month became final; each text once, never changed."""

    sha256 = CharField(max_length=64, unique=True)  # of the canonical facts
    facts = JsonField()  # the names and values of the settings' section [seller]


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
    seller_id: int | None
    seller = ForeignKeyField(SellerFacts, null=True, on_delete="RESTRICT", index=False)  # once final, where it is known

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


class BuyerFacts(Record):
    """Who a final month is made out to, as it was known when the month became final; never changed."""

    company_id: int
    company = ForeignKeyField(Company, on_delete="RESTRICT", index=False)
    month = CharField(max_length=7)
    revision = IntegerField()
    time_zone = CharField(max_length=48)
    name = CharField(max_length=128)
    billing_reference = CharField(max_length=64)
    organisation_number = CharField(max_length=32)
    vat_id = CharField(max_length=20)
    endpoint = CharField(max_length=64)
    street = CharField(max_length=128)
    city = CharField(max_length=64)
    postal_code = CharField(max_length=16)
    country = CharField(max_length=2)
    invoice_email = CharField(max_length=254)

    class Meta:
        indexes = ((("company", "month", "revision"), True),)
