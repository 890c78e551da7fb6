"""Audits: record and projections compared, row by row. `audit.py` is the way in.

To look at something new, add a step to `round.py` and how it is compared to `comparison.py`. Must stay out: changing anything.
"""
