"""Verbs on a model that command line and app share: score it, comment with it, quantize it."""
