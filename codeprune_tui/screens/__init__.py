"""Screens of the app: one per mode, and the dialogs."""
