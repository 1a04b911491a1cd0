"""What can be said of a model that nobody has loaded: sizes, costs, layout. Without torch."""
