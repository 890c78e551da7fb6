"""What the README claims, reproducible: `make bench`, or `python -m benchmarks pepys latency lag`.

Every figure stands beside a floor that was measured in the same run: the same rows, without our code around them.
Ratios carry over to other machines, seconds do not.
"""
