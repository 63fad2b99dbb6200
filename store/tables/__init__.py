"""Everything that Keydesk keeps.

A state is a date (`revoked_at`, not `is_revoked`); "never twice" is a unique index. Days are the company's local days,
instants are UTC. Rows are changed by the functions of the noun's own module only.
"""

from peewee import Model

from store.tables.billing import (
    BuyerFacts,
    ContractTerm,
    InvoiceLine,
    InvoiceMonth,
    PriceList,
    SellerFacts,
    UsageBatch,
    UsageDay,
)
from store.tables.companies import (
    Company,
    CompanyBilling,
    Integration,
    IntegrationEmail,
    IntegrationSpan,
    IntegrationUser,
    Key,
    KeySpan,
    LastUse,
    Licence,
    User,
)
from store.tables.installation import Admin, AdminKey, Event, Setting
from store.tables.mail import Email, Notice
from store.tables.record import Record
from store.tables.sandbox import RefreshMarker, SandboxHold
from store.tables.work import ClockSeen, MachineBoot, Run, Worker

__all__ = [
    "TABLES",
    "Admin",
    "AdminKey",
    "BuyerFacts",
    "ClockSeen",
    "Company",
    "CompanyBilling",
    "ContractTerm",
    "Email",
    "Event",
    "Integration",
    "IntegrationEmail",
    "IntegrationSpan",
    "IntegrationUser",
    "InvoiceLine",
    "InvoiceMonth",
    "Key",
    "KeySpan",
    "LastUse",
    "Licence",
    "MachineBoot",
    "Notice",
    "PriceList",
    "Record",
    "RefreshMarker",
    "Run",
    "SandboxHold",
    "SellerFacts",
    "Setting",
    "UsageBatch",
    "UsageDay",
    "User",
    "Worker",
]

# In the order in which they can be made. In writing: a list taken from subclasses misses what was not imported.
# fmt: off
TABLES: tuple[type[Model], ...] = (
    Setting, Admin, AdminKey, Event,
    Company, CompanyBilling, Licence, User, Integration, IntegrationSpan, IntegrationUser, IntegrationEmail,
    Key, KeySpan, LastUse,
    Email, Notice,
    Run, Worker, ClockSeen, MachineBoot, RefreshMarker, SandboxHold,
    PriceList, ContractTerm, UsageBatch, UsageDay, SellerFacts, InvoiceMonth, InvoiceLine, BuyerFacts,
)
