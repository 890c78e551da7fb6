"""Twins of the functions in `stores/postgres/sql/functions`: same names, arguments, answers, errors; a file per subject.

A function takes the tables and its decoded JSON, runs under the lock as one transaction (`tables.Tables.transaction`), and returns
what becomes JSON. What SQL leaves to a cast is checked by the readers in `base.py`. The comments beside the SQL say what each one
promises; they are not repeated here. To add one: `memory_<use case>_v<number>` in its subject's file; a test holds both sets equal.
"""
