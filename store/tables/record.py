"""What every row has."""

from peewee import BigAutoField, Model

from store.database import db


class Record(Model):
    """A row with a number of its own."""

    id = BigAutoField()

    class Meta:
        database = db
        legacy_table_names = False
