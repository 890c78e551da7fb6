"""The record's functions by subject, a file each, every function named once.

A new use case is a function in `sql/functions`, a method here and one in `ports/record.py`. Must stay out: statements, decisions.
"""
