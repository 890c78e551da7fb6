"""The record, on Postgres with pgvector: SQL in files, a transport that calls functions, a store that names them."""
