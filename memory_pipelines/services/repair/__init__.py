"""Repairs: a plan, what it does, the proof; edits of the graph that a namespace adopts. `repair.py` is the way in.

To repair a new kind of finding, word it in `planning.py`. Must stay out: finding (`services/audit`), and any second path into a projection.
"""
