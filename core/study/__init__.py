"""The paper held against runs, and runs against each other. Without torch."""
