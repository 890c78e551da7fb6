"""Stores that live and die with the process: for tests, and to try things out where no server can run. `memory://` names them.

Clients of one process share what has the same address. Must stay out: a record. It is Postgres, always.
"""
