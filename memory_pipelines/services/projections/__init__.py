"""How each projection is made from the record: entities, embeddings, the graph. `projections.py` names them.

To add one, a file with its two steps and a line in `projections.py`. Must stay out: when that is done (`services/sync`).
"""
