"""The stores' floor: one folder per engine. Each has transports (which only run statements) and a store (which knows them).

To add an engine or a transport: a folder or a file here, a branch in `wiring/`, a parameter in `tests/contract`.
Must stay out: use cases, and any store's knowledge of another.
"""
