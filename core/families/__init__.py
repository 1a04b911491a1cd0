"""Families of models: the only place that knows their parameter names, special tokens and positions."""
