"""Embedders: texts into unit vectors. `wordllama` is local and the default; `openai` speaks to any compatible server."""
