"""One run: look at the issuers, look at the account, and do or show what lies between."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sidecar.bootstrap.emit import script
from sidecar.bootstrap.failure import EXIT_DRIFT, EXIT_GOOD, EXIT_USAGE, Stopped
from sidecar.bootstrap.issuers import look
from sidecar.bootstrap.plan import left_alone, plan
from sidecar.bootstrap.removal import removal
from sidecar.bootstrap.show import JsonShow, Show, Status, TextShow
from sidecar.bootstrap.spec import Spec
from sidecar.bootstrap.state import Account, Change, Observed
from sidecar.connect_to import ConnectTo
from sidecar.errors import SettingsError
from sidecar.issuer.reader import IssuerReader, proxy_beside

if TYPE_CHECKING:
    from sidecar.bootstrap.iam import Iam

__all__ = ("Work",)

Changes = tuple[Change, ...]
Served = Mapping[str, tuple[str, ...] | Stopped]
"""{issuer: the thumbprints that it needs, or why they could not be found out}."""

_EXIT_INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT
_NOTHING = "nothing was changed"
_AGAIN = "run it again, it goes on from there"
_LATER = "STS can take some seconds (10 or so) to know of it; until then it refuses tokens"


class Work:
    """One run.

    Args:
        given: the flags, checked.
        spec: what is wanted.
        out: gets what is shown.
        err: gets warnings, and why it ended early.
        connect_to: where hosts really are; no proxy is asked for these.
    """

    def __init__(self, given: argparse.Namespace, spec: Spec, out: TextIO, err: TextIO, connect_to: ConnectTo) -> None:
        self._given, self._spec, self._out, self._err = given, spec, out, err
        self._connect_to = connect_to
        mode = "destroy" if given.destroy else "plan" if given.plan else "check" if given.check else "apply"
        self._show: Show = JsonShow(out, mode) if given.json else TextShow(out, err, colour=out.isatty())
        self._so_far = _NOTHING
        self._certificates: list[str] = []

    def run(self) -> int:
        """Return the exit code; what ended it early is told.

        Raises:
            SettingsError: see ``command.run``.
        """
        try:
            if self._given.emit:
                return self._emit()
            return self._destroy() if self._given.destroy else self._set_up()
        except Stopped as error:
            self._err.write(f"aws-oidc-sidecar: {error}\n")
            if not self._given.emit:  # what is printed then is a script
                self._show.end(f"stopped: {self._so_far}", error.exit_code)
            return error.exit_code
        except SettingsError:
            if self._given.json or self._so_far != _NOTHING:
                self._show.end(f"stopped: {self._so_far}", EXIT_USAGE)
            raise
        except KeyboardInterrupt:
            if not self._given.emit:
                self._show.end(f"interrupted: {self._so_far}", _EXIT_INTERRUPTED)
            return _EXIT_INTERRUPTED

    # --- each mode ---

    def _set_up(self) -> int:
        served = self._look()
        iam, account = self._log_in()
        seen: list[Observed] = []

        def planned() -> Changes:
            with self._show.busy("looking at IAM"):
                seen.append(iam.observe(self._spec, account))
            return self._plan(seen[-1], served)

        changes = planned()
        for line in left_alone(self._spec, seen[-1]):
            self._show.note(line)
        if self._given.plan or self._given.check:
            return self._only_show(changes)
        return self._apply(iam, changes, planned)

    def _destroy(self) -> int:
        iam, account = self._log_in()

        def planned() -> Changes:
            with self._show.busy("looking at IAM"):
                changes, stays[:] = removal(self._spec, iam.observe(self._spec, account, trusting=True))
            return changes

        stays: list[str] = []
        changes = planned()
        for line in stays:
            self._show.note(line)
        return self._only_show(changes) if self._given.plan else self._apply(iam, changes, planned)

    def _emit(self) -> int:
        served = self._look()
        account = Account(self._given.account_id, self._given.partition or "aws") if self._given.account_id else None
        observed = Observed(account or self._log_in()[1])
        self._out.write(script(self._plan(observed, served), observed.account.id, self._certificates))
        return EXIT_GOOD

    # --- steps ---

    def _look(self) -> Served:
        ca_file = None if self._given.issuer_ca is None else Path(self._given.issuer_ca)
        found: dict[str, tuple[str, ...] | Stopped] = {}
        for issuer in self._spec.issuers:
            if issuer.thumbprints is not None:
                found[issuer.url] = issuer.thumbprints
                continue
            try:
                with self._show.busy(f"looking at {issuer.url}"):
                    served = look(IssuerReader(ca_file, proxy=proxy_beside(self._connect_to)), issuer)
            except Stopped as error:
                # The issuer that one moves away from may be down already, or be another by now; its provider stays.
                if issuer is self._spec.issuers[0]:
                    raise
                found[issuer.url] = error
                continue
            found[issuer.url] = served.thumbprints
            self._certificates += served.lines
            for line in () if self._given.emit else served.lines:
                self._show.note(line)
            for line in served.warnings:
                self._show.warning(line)
        return found

    def _log_in(self) -> tuple["Iam", Account]:
        # Imported here: a script for another account needs no boto3.
        from sidecar.bootstrap.iam import Iam  # noqa: PLC0415

        iam = Iam(self._given.region)
        with self._show.busy("asking whose credentials these are"):
            account = iam.account()
        if not self._given.emit:
            self._show.account(account)
        return iam, account

    def _plan(self, observed: Observed, served: Served) -> Changes:
        known: dict[str, tuple[str, ...] | None] = {}
        for issuer in self._spec.issuers:
            found = served[issuer.url]
            known[issuer.url] = None if isinstance(found, Stopped) else found
            if isinstance(found, Stopped):
                if observed.account.provider_arn(issuer) not in observed.providers:
                    raise found
                self._show.warning(f"{found}; its thumbprints stay as they are")
        given = self._given
        return plan(self._spec, observed, known, adopt=given.adopt, prune=given.prune_thumbprints)

    def _only_show(self, changes: Changes) -> int:
        for change in changes:
            self._show.change(change, Status.NEEDS_ADOPT if change.foreign else Status.PLANNED)
        drift = bool(changes) and self._given.check
        exit_code = EXIT_DRIFT if drift else EXIT_GOOD
        count = _count(len(changes))
        texts = ("no drift", f"drift: {count}") if self._given.check else ("nothing to do", f"planned: {count}")
        self._show.end(f"{texts[bool(changes)]}; nothing was changed", exit_code)
        return exit_code

    def _apply(self, iam: "Iam", changes: Changes, again: Callable[[], Changes]) -> int:
        self._refuse_foreign(changes)
        done = 0
        failed: Change | None = None
        while changes:
            change, *others = changes
            # An interrupt, or an end while it is looked at again, leaves this one open.
            self._so_far = f"{done} done, 1 perhaps, {len(others)} not done; {_AGAIN}"
            try:
                with self._show.busy(f"{change.kind}: {change.target}"):
                    iam.apply(change)
            except Stopped as error:
                if error.changed and change != failed:
                    # An answer was lost, or somebody else is at it: what is left to do is seen by looking again.
                    failed = change
                    iam.settle()
                    changes = again()
                    if change.call not in {other.call for other in changes}:
                        self._show.change(change, Status.DONE)
                        done += 1
                    self._so_far = f"{done} done, {len(changes)} not done; {_AGAIN}"
                    self._refuse_foreign(changes)
                    continue
                self._show.change(change, Status.FAILED)
                for other in others:
                    self._show.change(other, Status.NOT_DONE)
                self._so_far = f"{done} done, 1 failed, {len(others)} not done; {_AGAIN}"
                raise
            self._show.change(change, Status.DONE)
            done += 1
            changes = tuple(others)
            self._so_far = f"{done} done, {len(changes)} not done; {_AGAIN}"
        later = "" if self._given.destroy else f". {_LATER}"
        text = f"done: {_count(done)}{later}" if done else "nothing to do"
        self._show.end(text, EXIT_GOOD)
        return EXIT_GOOD

    def _refuse_foreign(self, changes: Changes) -> None:
        foreign = [change for change in changes if change.foreign]
        if not foreign:
            return
        for change in changes:
            self._show.change(change, Status.NEEDS_ADOPT if change.foreign else Status.NOT_DONE)
        targets = ", ".join(dict.fromkeys(change.target for change in foreign))
        what = "made by others or for another issuer, and would be changed as shown"
        raise SettingsError(targets, what, "give --adopt to take it over, or another name")


def _count(number: int) -> str:
    return "1 change" if number == 1 else f"{number} changes"
