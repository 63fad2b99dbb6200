"""Who is told: mails, and the notices that owe them."""

from peewee import SQL, BigIntegerField, BlobField, CharField, Check, ForeignKeyField, IntegerField, TextField

from store.fields import DayField, InstantField, JsonField
from store.tables.companies import Key
from store.tables.record import Record


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
    message = BlobField(null=True)  # the bytes, frozen when they are handed over
    state = CharField(
        max_length=16,
        constraints=[
            Check("state IN ('queued', 'claimed', 'handing-over', 'sent', 'failed', 'ambiguous', 'withdrawn')"),
        ],
    )
    queued_at = InstantField()
    next_at = InstantField()  # not before
    useless_after = InstantField(null=True)  # past this the mail would only confuse
    attempts = IntegerField(default=0)  # since it was queued, or sent again by a person
    resends = IntegerField(default=0)  # after a lost answer
    owner = CharField(max_length=64, null=True)
    lease_until = InstantField(null=True)
    handed_over_at = InstantField(null=True)  # when the bytes went last
    folds_until = InstantField(null=True)  # until then the relay takes the same bytes once, however often they come
    sent_at = InstantField(null=True)
    reply = TextField(null=True)  # what the relay said last, or why it was withdrawn

    class Meta:
        indexes = (
            SQL(
                "CREATE INDEX email_pending ON email (next_at, id) WHERE state IN ('queued', 'claimed', 'handing-over')"
            ),
            SQL("CREATE INDEX email_handed_over ON email (handed_over_at) WHERE handed_over_at IS NOT NULL"),
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
