"""The installation: its choices, its admins, its audit log."""

from peewee import BigIntegerField, CharField, Check, ForeignKeyField, TextField

from store.fields import InstantField, JsonField
from store.tables.record import Record


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
