"""Numbers, with the intervals that say how sure they are. Without torch."""
