"""The engine of codeprune-tui: prunes, trains, decodes and scores code-to-text models.

Headless: nothing in here imports Textual. The modules `errors`, `recipe`, `events`, `journal`, `runs`, `ruby` and `bleu` also
run without torch, so that the app may import them and still paint at once.
"""

OWNER = "codeprune-tui"
"""Marks this `core` as ours; the app checks it at start, for `core` is a common name that something else may shadow."""
