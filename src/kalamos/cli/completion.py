"""`kalamos completion`: Tab in the shell completes verbs, options, models, datasets and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kalamos.cli import cli


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    r"""Print the script that completes kalamos in a shell.

    \b
    bash:  kalamos completion bash >> ~/.bashrc
    zsh:   kalamos completion zsh >> ~/.zshrc
    fish:  kalamos completion fish > ~/.config/fish/completions/kalamos.fish
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (click knows each shell of the choice)
    click.echo(found(cli, {}, "kalamos", "_KALAMOS_COMPLETE").source())
