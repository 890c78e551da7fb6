"""Redis carries, it does not hold: the event stream, and leases that save double work."""
