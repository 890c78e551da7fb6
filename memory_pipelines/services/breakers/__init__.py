"""Circuit breakers: of the graph and the models, shared; of the record, local. `breakers.py` is the way in.

To guard another dependency, call `breakers.guarded`. Must stay out: where their state is kept (`stores`).
"""
