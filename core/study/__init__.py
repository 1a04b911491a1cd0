"""Compares runs with the paper and with each other. Without torch."""
