"""Files and frames in and out of the record. `transfer.py` is the way in.

To read or write a format, add it to `reading.py` or `writing.py`. Must stay out: what a memory is (`services/memories.py`).
"""
