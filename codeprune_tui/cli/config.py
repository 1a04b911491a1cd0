"""The subcommand about the app's settings: where they lie, and what there is to set."""

import typer

from .console import say
from .runs import app


@app.command()
def config() -> None:
    """Print a commented template of the settings file.

    The template goes to stdout. The path where the app looks for the file, and what is wrong in the file that lies
    there, go to stderr.
    """
    from .. import settings
    from ..keymap import judge, remappable

    path = settings.config_path()
    chosen, problems = settings.load(path)
    say(str(path))
    for problem in [*problems, *judge(chosen.keymap)[1]]:
        say(problem)
    typer.echo(settings.template(remappable()), nl=False)
