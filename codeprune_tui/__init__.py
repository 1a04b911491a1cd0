"""The front end of codeprune-tui: a command line and a Textual app that render what the engine writes."""
