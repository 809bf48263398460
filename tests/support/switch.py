"""A real switch for the tests that need one: SIPp scenarios and phones. Called by their conftest.py."""

from __future__ import annotations

from types import TracebackType

from demo.switch_process import SwitchFailed, SwitchProcess


class RunningSwitch(SwitchProcess):
    """`with RunningSwitch(folder, dialplan=..., settings=...) as switch:` serves until the block ends, then ends clean.

    Inside: `sip_port`, `cli()`, `cli_json()`, `cdrs()`, `wait_for_cdrs()`, `metric()`, `log_tail()`.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = self.stop()
        if error is None and status != 0:
            raise SwitchFailed(f"the switch ended with status {status} after SIGTERM\n{self.log_tail()}")
