"""Configuration in swanctl's words: files and vici trees in, model objects out."""
