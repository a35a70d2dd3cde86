"""Commands about adapters: signing, verifying, switching back."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fl_assets.cli.application import AsJson, CommandError, app, day_option, user
from fl_assets.core.settings import FederatedLearningConfig
from fl_assets.infra.clock import now_utc


@app.command()
def sign(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="Folder with adapter_config.json and adapter_model.safetensors.",
        ),
    ],
    key: Annotated[Path, typer.Option(help="Ed25519 private key (PEM) that its owner alone can read.")],
    adapter_id: Annotated[str, typer.Option("--id", metavar="ORG/NAME")],
    version: Annotated[str, typer.Option(metavar="1.2.0")],
    expires: Annotated[date, day_option("First day on which nodes no longer take it.")],
    revision: Annotated[
        str, typer.Option(help="Commit of the repository that holds the files; none for a plain list.")
    ] = "",
    skill: Annotated[
        list[str] | None, typer.Option(help="What it is trained for, e.g. tool_calling; may be repeated.")
    ] = None,
    description: Annotated[str, typer.Option(help="One line.")] = "",
) -> None:
    """Write and sign the manifest of an adapter.

    The adapter is checked first as nodes check it.

    Example: fl-assets sign made/ --key release.key --id acme/tool-calling --version 1.2.0 --expires
    2027-06-01 --skill tool_calling
    """
    from fl_assets.adapters.examine import Examiner
    from fl_assets.adapters.publish import seal
    from fl_assets.cli.console import say
    from fl_assets.infra.keys import load_private_key

    settings = FederatedLearningConfig.from_env()
    manifest = seal(
        folder,
        load_private_key(key),
        Examiner(settings).inventory,
        adapter_id=adapter_id,
        version=version,
        revision=revision,
        description=description,
        base_model=settings.base_model,
        base_revision=settings.base_revision,
        expires=expires,
        skills=tuple(skill or ()),
    )
    say(
        f"signed {manifest.adapter_id} {manifest.version} for {manifest.base_model} "
        f"({manifest.base_revision}), holds until {manifest.expires}"
    )
    say(f"  {folder / 'fl-adapter.json'} and .sig, {manifest.size} bytes in {len(manifest.files)} files")


@app.command()
def verify(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ADAPTER|FOLDER",
            help="An installed adapter, all of its versions; or a folder with a signed one.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check an adapter as a node would.

    Files, hashes, signature, config, tensors.

    Exit code 1 when a rule is broken.

    Example: fl-assets verify acme/tool-calling
    """
    from fl_assets.adapters.store import AdapterStore
    from fl_assets.cli.console import say, show_json

    store = AdapterStore(FederatedLearningConfig.from_env())
    installed = [one.path for one in store.installed() if one.adapter_id == what]
    if not installed and not Path(what).is_dir():
        raise CommandError(
            f"{what} is neither an installed adapter nor a folder; installed are "
            f"{', '.join(sorted({one.adapter_id for one in store.installed()})) or 'none'}"
        )
    verdicts = [store.examine(path, now=now_utc()) for path in installed or [Path(what)]]
    if as_json:
        show_json([one.model_dump(mode="json") for one in verdicts])
    else:
        for one in verdicts:
            rules = ", ".join(dict.fromkeys(problem.rule for problem in one.problems))
            verdict = f"broken: {rules}" if rules else "sound"
            say(f"{one.adapter_id or one.path} {one.version}: {verdict}")
            signed, expires = one.signed_by or "no trusted key", one.expires or "(no manifest)"
            say(f"  signed by {signed}, holds until {expires}, {one.path}")
            for problem in one.problems:
                say(f"  {problem}")
    if any(one.problems for one in verdicts):
        raise typer.Exit(1)


def roll_back_adapter(adapter_id: str, *, to: str | None, allow_rollback: bool, reason: str) -> None:
    """Switch this machine's adapter back, and print the switch."""
    from fl_assets.adapters.store import AdapterStore
    from fl_assets.cli.console import say

    store = AdapterStore(FederatedLearningConfig.from_env())
    if to and allow_rollback:
        store.stage(adapter_id, to, now=now_utc(), allow_rollback=True)
    switched = store.rollback(adapter_id, now=now_utc(), to=to, note=f"{user()}: {reason}")
    left, now_used = switched.from_version, switched.to_version or "off"
    say(f"{adapter_id}: {left} → {now_used}; {left} is not offered again")
