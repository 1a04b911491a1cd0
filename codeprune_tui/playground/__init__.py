"""The playground: its process, its requests and replies, and their texts."""
