"""Stands before PostgreSQL's driver, as if it were not installed: to load it takes half of a command's start."""

raise ImportError("The driver is not here.")
