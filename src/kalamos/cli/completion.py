"""`kalamos completion`: Tab completion of verbs, options, models, datasets and files in the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kalamos.cli import cli


@click.command(no_args_is_help=True)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script for Tab completion of kalamos in a shell.

    Run one of these once, then open a new shell; Tab then completes verbs, options, models, formats,
    datasets, architectures and files.

    \b
    bash:  kalamos completion bash >> ~/.bashrc
    zsh:   kalamos completion zsh >> ~/.zshrc
    fish:  kalamos completion fish > ~/.config/fish/completions/kalamos.fish

    zsh needs `autoload -Uz compinit && compinit` before that line in ~/.zshrc.
    """  # noqa: D301  (\\b keeps Click from wrapping these lines)
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click knows each shell of the choice)
    click.echo(found(cli, {}, "kalamos", "_KALAMOS_COMPLETE").source())
