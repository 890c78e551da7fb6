"""Dagster resources: configuration, and open and close through `memory_pipelines.wiring`. No use cases here."""
