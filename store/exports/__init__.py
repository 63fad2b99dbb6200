"""Invoices for other systems: each format is a pure function from documents to bytes, the same bytes each time."""
