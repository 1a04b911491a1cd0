"""Reads files into rows: documented methods, in every form of data. Without torch."""
