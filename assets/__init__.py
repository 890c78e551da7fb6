"""Dagster assets with their checks, one file a subject; jobs, schedules and sensors in `automation.py`.

An asset opens its resource, calls one service and returns metadata. To add one: a file, or a function in the file of its subject;
`memory_pipelines.definitions` finds it. Must stay out: logic; that lives in `memory_pipelines.services`.
"""
