"""Thin HTTP handlers: parse, call, answer. One module a resource; ``routes`` lists them all."""
