"""What the desk's lists read: the ids of a list in its order, and the typed rows of those that are seen.

A list is a snapshot of ids (8 bytes a row, so a million rows are 8 MB); the rows on the screen are read by primary key.
"""
