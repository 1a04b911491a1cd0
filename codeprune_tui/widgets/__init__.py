"""Widgets of the app: each shows one thing that it is given, and computes nothing about runs."""
