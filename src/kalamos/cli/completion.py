"""`kalamos completion`: Tab in the shell completes verbs, options, models, datasets and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kalamos.cli import cli


@click.command(no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets the Tab key complete kalamos in a shell.

    Run one of these once, then open a new shell; Tab then completes verbs, options, models, formats,
    datasets, architectures and files.

    \b
    bash:  kalamos completion bash >> ~/.bashrc
    zsh:   kalamos completion zsh >> ~/.zshrc
    fish:  kalamos completion fish > ~/.config/fish/completions/kalamos.fish

    zsh needs `autoload -Uz compinit && compinit` before that line in ~/.zshrc.
    """  # noqa: D301  (\\b is Click's mark for lines that stay as they are)
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click knows each shell of the choice)
    click.echo(found(cli, {}, "kalamos", "_KALAMOS_COMPLETE").source())
