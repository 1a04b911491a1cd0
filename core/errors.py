"""Every error that is meant for a user: what was given, what is allowed, what to do now.

Knows nothing of the modules that raise them. The command line prints the text and leaves with `exit_code`;
the app shows the text in a toast; the worker writes it into the journal.
"""


class CodepruneError(Exception):
    """Something the user can put right.

    Args:
        problem: What was given and why it cannot be used, one sentence.
        fix: What to do now, one sentence; empty where the problem already says it.
    """

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem} {fix}".strip())
        self.problem = problem
        self.fix = fix


class RecipeError(CodepruneError):
    """A recipe that cannot be read, or asks for what cannot be."""

    exit_code = 3


class DataError(CodepruneError):
    """Rows, splits or Ruby files that are missing or broken."""

    exit_code = 4


class ModelError(CodepruneError):
    """A model folder, checkpoint or tokenizer that cannot be loaded, or does not fit the recipe."""

    exit_code = 5


class RunError(CodepruneError):
    """A run folder that is missing, busy, or in a state that forbids what was asked."""

    exit_code = 6


class TrainingError(CodepruneError):
    """Training that cannot go on, for instance because the loss is no longer a number."""

    exit_code = 7
