"""Pure: data, rules, names, digests of meaning. Knows nobody and does no I/O."""
