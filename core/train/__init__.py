"""How a model learns: trainer, objectives, the round loop, and the checkpoints that let it go on."""
