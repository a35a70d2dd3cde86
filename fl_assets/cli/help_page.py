"""`fl-assets --help`, which lists the commands by section."""

from typing import Any

from typer.core import TyperGroup

SECTIONS = {
    "Run": ("cycle", "backfill", "watch", "pull", "demo", "simulate"),
    "Look": ("patterns", "explain", "playbooks", "decisions", "report", "inspect", "export", "mcp"),
    "Act": ("approve", "reject", "updates", "rollback"),
    "Serve": ("dev", "serve", "home", "rebuild", "reingest"),
    "Nodes and adapters": ("summarize", "take-release", "sign", "verify"),
}


class Sections(TyperGroup):
    """The group of all commands, which lists them by section."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the sections, then those in none."""
        known = [name for names in SECTIONS.values() for name in names]
        found = super().list_commands(ctx)
        return sorted(found, key=lambda name: known.index(name) if name in known else len(known))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each section with the first sentence of each of its commands."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = max(map(len, commands))
        room = formatter.width - 6 - width
        for title, names in SECTIONS.items():
            found = [(name, one) for name in names if (one := commands.get(name))]
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), one.get_short_help_str(room)) for name, one in found])
