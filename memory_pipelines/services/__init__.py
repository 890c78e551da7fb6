"""Use cases, one function each. They know the ports and the domain, never a driver and never Dagster."""
