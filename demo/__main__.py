"""`python -m demo`: real calls through a real switch on loopback, shown and checked; exit code 0 where all was well.

Makes everything in an output folder (`demo-output`, or the first argument), which it empties first.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.text import Text

from demo.cast import Cast, dialplan, free_cast
from demo.phone import PhoneFailed
from demo.show import show_scene
from demo.stage import Stage
from demo.story import SCENES, WARNING_S, Scene, seed
from demo.switch_process import SwitchFailed, SwitchProcess
from demo.voices import NoSpeech
from demo.wire import Wire

MARK = "made-by-softswitch-demo"  # only a folder with this file in it is ever emptied


def main(arguments: Sequence[str]) -> int:
    """Play all scenes; 0 where every check is good."""
    console = Console(highlight=False, record=True)
    began = time.monotonic()
    try:
        folder = _empty_folder(Path(arguments[0] if arguments else "demo-output"))
        scenes = _play(console, folder)
    except (SwitchFailed, PhoneFailed, NoSpeech, FileExistsError) as error:
        console.print(Text(f"\n✗ The demo could not go on: {error}", style="bold red"))
        return 1
    status = _verdict(console, scenes, time.monotonic() - began, folder)
    console.save_html(str(folder / "report.html"))
    return status


def _play(console: Console, folder: Path) -> list[Scene]:
    """Switch, phones, five calls."""
    cast = free_cast()
    switch = SwitchProcess(folder / "switch", dialplan=dialplan(cast.all), settings={"call": {"warning_s": WARNING_S}})
    with ExitStack() as open_things:
        wire = _listen(console, open_things, cast)
        stage = Stage(switch, cast, folder, wire)
        seed(stage)
        open_things.enter_context(switch)
        console.print(f"[bold]softswitch[/] serves SIP on 127.0.0.1:{switch.sip_port}, everything is in {folder}/")
        scenes = []
        for number, play in enumerate(SCENES, 1):
            with console.status(f"call {number} of {len(SCENES)} is being placed …"):
                scene = play(stage)
            show_scene(console, number, len(SCENES), scene, cast)
            scenes.append(scene)
    return scenes


def _listen(console: Console, open_things: ExitStack, cast: Cast) -> Wire | None:
    try:
        return open_things.enter_context(Wire(cast.ports))
    except PermissionError:
        console.print(
            "[yellow]Without CAP_NET_RAW the ladders come from the phones' logs; RTP packets are not checked.[/]"
        )
        return None


def _empty_folder(folder: Path) -> Path:
    """The output folder, empty; raises FileExistsError rather than emptying what the demo did not make."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise FileExistsError(f"{folder}/ is not empty and was not made by the demo; name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


def _verdict(console: Console, scenes: Sequence[Scene], took_s: float, folder: Path) -> int:
    checks = [check for scene in scenes for check in scene.checks]
    bad = [(scene, check) for scene in scenes for check in scene.checks if not check]
    console.rule(style="blue")
    if bad:
        console.print(f"[bold red]✗ {len(bad)} of {len(checks)} things were not as they should be:[/]")
        for scene, check in bad:
            console.print(Text(f"  {scene.title}: {check.what}: {check.found}"))
        console.print(f"  the switch's log: {folder}/switch/switch.log")
        return 1
    console.print(
        f"[bold green]✓ {len(scenes)} calls, {len(checks)} checks, all as it should be[/] ({took_s:.0f} s). "
        f"All of it again: {folder}/report.html"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
