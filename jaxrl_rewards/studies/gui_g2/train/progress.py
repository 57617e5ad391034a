"""Progress bars of training and evaluation."""

PHASES = {
    "patches": "drawing text",
    "screens": "drawing screens",
    "read": "learning to read",
    "point": "learning to point",
    "refine": "refining (GRPO)",
    "pointing": "pointing",
    "controls": "training controls",
}


class ProgressReport:
    """A rich progress bar per phase with steps/s and the time left; silent when `show` is False.

    Where the output is no terminal, one plain line is printed per measurement.
    """

    def __init__(self, show: bool = True):
        """Start nothing yet."""
        self._show, self._progress, self._tasks, self._text = show, None, {}, ""

    def __enter__(self):
        """Start the display."""
        if self._show:
            from rich.progress import (
                BarColumn,
                Progress,
                ProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.text import Text

            class Speed(ProgressColumn):
                def render(self, task):
                    return Text(f"{task.speed or 0:.2f} steps/s")

            self._progress = Progress(
                TextColumn("{task.description:18}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                Speed(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._progress.start()
        return self

    def __exit__(self, *_):
        """Stop the display."""
        if self._progress:
            self._progress.stop()

    def __call__(self, phase: str, done: int, total: int, metrics: dict) -> None:
        """Show `done` of `total` of a phase, and its latest figures."""
        if not self._progress:
            return
        numbers = {k: v for k, v in metrics.items() if k in ("loss", "held_out", "reward", "hits")}
        note = " ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        if phase not in self._tasks:
            label = PHASES.get(phase, phase)
            self._tasks[phase] = self._progress.add_task(label, total=total, note="")
        fields = {"note": note} if note else {}
        self._progress.update(self._tasks[phase], completed=done, total=total, **fields)
        if note and not self._progress.console.is_terminal and phase != "refine":
            self._progress.console.print(f"{PHASES.get(phase, phase)} {done}/{total} {note}")
