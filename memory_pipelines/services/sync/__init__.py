"""What is owed and how it is paid: drains, their rounds, waiting for one's own write. `sync.py` is the way in.

Must stay out: how a projection is made (`services/projections`).
"""
