"""The subcommand about the app's settings: where they lie, and what there is to set."""

import typer

from .console import say
from .runs import app


@app.command()
def config() -> None:
    """Print a commented template of the settings file.

    The template goes to stdout, the path where the app looks for it to stderr; what is wrong in the file that lies
    there is told, too.
    """
    from .. import settings
    from ..keymap import judge, remappable

    path = settings.config_path()
    found, problems = settings.load(path)
    say(str(path))
    for problem in [*problems, *judge(found.keymap)[1]]:
        say(problem)
    typer.echo(settings.template(remappable()), nl=False)
