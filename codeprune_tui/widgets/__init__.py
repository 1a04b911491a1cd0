"""Widgets of the app: each shows one thing it is given, and computes nothing about runs."""
