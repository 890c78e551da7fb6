"""Stores that live and die with the process: for tests, and to try things out where no server can run. `memory://` names them.

Clients of one process share what has the same address. The record's functions are in `functions`, its tables in `tables.py`; the
graph in `graph.py`, the stream in `stream.py`. Must stay out: anything that is to last.
"""
