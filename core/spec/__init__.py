"""Facts about a model that is not loaded: sizes, costs, layout. Without torch."""
