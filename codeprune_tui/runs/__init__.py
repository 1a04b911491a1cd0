"""The app's side of the protocol: starts workers, follows runs, knows machines and models."""
