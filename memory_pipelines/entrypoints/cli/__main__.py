"""`python -m memory_pipelines.entrypoints.cli`, the same as `memory-pipelines`."""

from memory_pipelines.entrypoints.cli import main

if __name__ == "__main__":
    main()
