"""Notices: mails owed to one recipient for one reason, once."""

from datetime import datetime


def withdraw(key_id: int, reason: str, now: datetime) -> None:
    """Take the key out of what was queued about it (CALLED by store/keys.py: edit_expiry, rotate, revoke; helper: fill in)."""


def withdraw_company(company_id: int, reason: str, now: datetime) -> None:
    """Take all the company's notices out of the queue (CALLED by store/integrations.py when API Access is disabled)."""
