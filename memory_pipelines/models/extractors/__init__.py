"""Extractors: texts into entities and relations. `rules` is local and the default; `openai` asks a language model."""
