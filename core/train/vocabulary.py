"""The material of a run after its vocabulary lost entries: model, reader and rows, by one plan of which entries stay.

The dense round has the whole vocabulary; every later one the smaller, from its first step on. Which entries stay follows from
the training rows alone, so a run that is resumed finds the same ones. Weights that come from before, of the dense round or of the
rewind point, go through the same plan when they are loaded.
"""

from dataclasses import replace

from ..compress.shrink import cut_vocabulary, vocabulary_plan
from ..data import Encoded
from ..families.reader import Reader
from ..families.vocabulary import choose, cut_reader, uses
from .round import Material, SmallerVocabulary
from .session import Session


def smaller_material(session: Session, material: Material, number: int) -> Material:
    """The material of a round; its model changes in place where this is the first one with the smaller vocabulary.

    Args:
        session: The run.
        material: Of the round before.
        number: The round.

    Raises:
        ModelError: More entries than the recipe lets stay cannot be done without.
    """
    pruning = session.recipe.pruning
    if not (number and pruning.drops_entries) or material.smaller is not None:
        return material
    kept = choose(material.reader.tokenizer, uses(material.train.sources, material.train.targets), pruning.entries)
    small = vocabulary_plan(material.model.config, kept)
    whole = SmallerVocabulary(small, material.reader, material.held_out)
    cut_vocabulary(material.model, small)
    reader = cut_reader(material.reader, kept)
    train, held_out = (_encode(session, material, reader, rows) for rows in (material.train, material.held_out))
    return replace(material, reader=reader, train=train, held_out=held_out, smaller=whole)


def _encode(session: Session, material: Material, reader: Reader, encoded: Encoded) -> Encoded:
    data, longest = session.recipe.data, material.model.positions
    sources = reader.sources([row.source for row in encoded.rows], min(data.source_length, longest))
    targets = reader.ids([row.target for row in encoded.rows], min(data.target_length, longest))
    return Encoded(sources, targets, encoded.rows)
