"""What a company owes for a month. `rate` is the only place where an amount comes from."""

from store.rules.rating.corrections import Correction, adjustments, credit_and_rebill, too_late
from store.rules.rating.cost import CostChange, cost_sentence, difference
from store.rules.rating.facts import (
    AccessSpan,
    CompanyFacts,
    ContractTerm,
    KeyFact,
    LicenceFact,
    Policy,
    UsageFact,
)
from store.rules.rating.invoice import Explain, Invoice, Line
from store.rules.rating.rate import rate
from store.rules.rating.sentences import quantity_words

__all__ = [
    "AccessSpan",
    "CompanyFacts",
    "ContractTerm",
    "Correction",
    "CostChange",
    "Explain",
    "Invoice",
    "KeyFact",
    "LicenceFact",
    "Line",
    "Policy",
    "UsageFact",
    "adjustments",
    "cost_sentence",
    "credit_and_rebill",
    "difference",
    "quantity_words",
    "rate",
    "too_late",
]
