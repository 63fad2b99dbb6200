"""Who may call: companies, their users, their integrations and their keys."""

from peewee import BigIntegerField, BlobField, CharField, Check, ForeignKeyField, IntegerField

from store.fields import DayField, InstantField, JsonField
from store.tables.record import Record


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
