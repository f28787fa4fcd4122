"""One run: read the issuers, read IAM, and apply or show the changes."""

import argparse
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sidecar.bootstrap.emit import script
from sidecar.bootstrap.failure import BootstrapError
from sidecar.bootstrap.issuers import probe_issuer
from sidecar.bootstrap.plan import PlanOptions, Thumbprints, plan
from sidecar.bootstrap.quotas import over_quota
from sidecar.bootstrap.remarks import conditional_subjects, denied_subjects, unchanged_extras
from sidecar.bootstrap.removal import removal
from sidecar.bootstrap.restore import restore
from sidecar.bootstrap.show import ChangeStatus, JsonShow, Show, TextShow
from sidecar.bootstrap.spec import Spec
from sidecar.bootstrap.state import Account, Change, Observed, Usage, removals
from sidecar.errors import SettingsError
from sidecar.exits import Exit, Interrupted
from sidecar.https.connect_to import ConnectTo
from sidecar.issuer.reader import IssuerReader

if TYPE_CHECKING:
    from sidecar.bootstrap.iam import Iam

__all__ = ("Work",)

Changes = tuple[Change, ...]
ThumbprintsByIssuer = Mapping[str, tuple[str, ...] | BootstrapError]
"""{issuer: the thumbprints that IAM needs, or the error if the issuer could not be read}."""

_NOTHING = "nothing was changed"
_AGAIN = "run it again to continue"
_FOREIGN = "not created by this command for this issuer, and would be changed"
_ADOPT = "give --adopt to adopt it, or use another name"
_COUNTED = frozenset({"CreateOpenIDConnectProvider", "CreateRole", "UpdateAssumeRolePolicy", "AttachRolePolicy"})
_LATER = "STS can need about 10 seconds until the changes have an effect; until then it can deny exchanges"


class Work:
    """One run.

    Args:
        given: the checked flags.
        spec: the wanted issuers and roles.
        out: receives the output.
        err: receives warnings.
        connect_to: addresses that replace hosts; these connections use no proxy.
    """

    def __init__(self, given: argparse.Namespace, spec: Spec, out: TextIO, err: TextIO, connect_to: ConnectTo) -> None:
        self._given, self._spec, self._out = given, spec, out
        self._connect_to = connect_to
        self._options = PlanOptions(given.adopt, given.prune_thumbprints, given.replace)
        mode = "destroy" if given.destroy else "plan" if given.plan else "check" if given.check else "apply"
        self._show: Show = JsonShow(out, mode) if given.json else TextShow(out, err, colour=out.isatty())
        self._so_far = _NOTHING
        self._certificates: list[str] = []
        self._shown_removals: set[str] = set()
        self._denied = False

    def run(self) -> int:
        """Return the exit code.

        Raises:
            BootstrapError: AWS or the issuer prevents the run from completing.
            SettingsError: see ``commands.bootstrap_aws.run``.
            Interrupted: by a signal; its `did` has the number of changes that were made.
        """
        try:
            if self._given.emit:
                return self._emit()
            return self._destroy() if self._given.destroy else self._set_up()
        except BootstrapError as error:
            if not self._given.emit:  # the output is a script then
                self._show.end(f"stopped: {self._so_far}", error.exit_code)
            raise
        except SettingsError:
            if self._given.json or self._so_far != _NOTHING:
                self._show.end(f"stopped: {self._so_far}", Exit.USAGE)
            raise
        except Interrupted as interrupted:
            interrupted.did = self._so_far
            if not self._given.emit:
                self._show.end(f"interrupted: {self._so_far}", interrupted.exit_code)
            raise

    # --- each mode ---

    def _set_up(self) -> int:
        served = self._read_issuers()
        iam, account = self._log_in()
        seen: list[Observed] = []

        def planned() -> Changes:
            with self._show.busy("reading IAM"):
                seen.append(iam.observe(self._spec, account))
            return self._plan(seen[-1], served)

        changes = planned()
        self._show_remarks(seen[-1], served)
        self._show_quotas(iam, changes, seen[-1])
        if self._given.plan or self._given.check:
            return self._only_show(changes)
        return self._apply(iam, changes, planned)

    def _destroy(self) -> int:
        iam, account = self._log_in()

        def planned() -> Changes:
            with self._show.busy("reading IAM"):
                changes, stays[:] = removal(self._spec, iam.observe(self._spec, account, trusting=True))
            return changes

        stays: list[str] = []
        changes = planned()
        for line in stays:
            self._show.note(line)
        return self._only_show(changes) if self._given.plan else self._apply(iam, changes, planned)

    def _emit(self) -> int:
        served = self._read_issuers()
        account = Account(self._given.account_id, self._given.partition or "aws") if self._given.account_id else None
        observed = Observed(account) if account else self._observed_for_script()
        changes = self._plan(observed, served)
        foreign = _foreign(changes)
        if foreign:
            raise SettingsError(foreign, _FOREIGN, _ADOPT)
        replaces = self._options.replace
        notes = (*self._certificates, *(f"warning: {line}" for line in over_quota(changes, observed, Usage())))
        self._out.write(script(changes, observed.account.id, notes, replaces=replaces))
        return Exit.GOOD

    def _observed_for_script(self) -> Observed:
        iam, account = self._log_in()
        return iam.observe(self._spec, account) if self._options.replace else Observed(account)

    # --- steps ---

    def _read_issuers(self) -> ThumbprintsByIssuer:
        ca_file = None if self._given.issuer_ca is None else Path(self._given.issuer_ca)
        found: dict[str, tuple[str, ...] | BootstrapError] = {}
        for issuer in self._spec.issuers:
            if issuer.thumbprints is not None:
                found[issuer.url] = issuer.thumbprints
                continue
            try:
                with self._show.busy(f"reading {issuer.url}"):
                    served = probe_issuer(IssuerReader(ca_file, connect_to=self._connect_to), issuer)
            except BootstrapError as error:
                # In a migration, the old issuer may be down or serve another issuer already; its provider stays.
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

        # The output of --emit is a script, so its notes are warnings.
        iam = Iam(self._given.region, note=self._show.warning if self._given.emit else self._show.note)
        with self._show.busy("reading the account of the credentials"):
            account = iam.account()
        if not self._given.emit:
            self._show.account(account)
        return iam, account

    def _show_remarks(self, observed: Observed, served: ThumbprintsByIssuer) -> None:
        for line in unchanged_extras(self._spec, observed, _known(served), self._options):
            self._show.note(line)
        if self._options.replace:
            return
        for line in conditional_subjects(self._spec, observed):
            self._show.warning(line)
        for line in denied_subjects(self._spec, observed):
            self._denied = True
            self._show.warning(line)

    def _show_quotas(self, iam: "Iam", changes: Changes, observed: Observed) -> None:
        """Show which quotas the changes would exceed; AWS raises these on request, so the run is not stopped."""
        if any(change.operation in _COUNTED for change in changes):
            with self._show.busy("reading the quotas of the account"):
                usage = iam.usage()
            for line in over_quota(changes, observed, usage):
                self._show.warning(line)

    def _plan(self, observed: Observed, served: ThumbprintsByIssuer) -> Changes:
        for issuer in self._spec.issuers:
            found = served[issuer.url]
            if isinstance(found, BootstrapError):
                if observed.account.provider_arn(issuer) not in observed.providers:
                    raise found
                self._show.warning(f"{found}; its thumbprints are not changed")
        return plan(self._spec, observed, _known(served), self._options)

    def _show_removals(self, changes: Changes) -> None:
        """Show each removal once, before it happens."""
        lines = [line for line in removals(changes) if line not in self._shown_removals]
        self._shown_removals.update(lines)
        if lines:
            self._show.removes(lines)

    def _only_show(self, changes: Changes) -> int:
        self._show_removals(changes)
        for change in changes:
            self._show.change(change, ChangeStatus.NEEDS_ADOPT if change.foreign else ChangeStatus.PLANNED)
        drift = bool(changes or self._denied) and self._given.check
        exit_code = Exit.DRIFT if drift else Exit.GOOD
        count = _count(len(changes))
        if self._given.check:
            text = f"drift: {count}" if drift else "no drift"
        else:
            text = f"planned: {count}" if changes else "nothing to do"
        text += _adoption_note(changes)
        self._show.end(f"{text}{self._denied_note()}; {_NOTHING}", exit_code)
        return exit_code

    def _denied_note(self) -> str:
        return ", but a Deny statement blocks the tokens that the warning names" if self._denied else ""

    def _apply(self, iam: "Iam", changes: Changes, again: Callable[[], Changes]) -> int:
        self._show_removals(changes)
        self._reject_foreign(changes)
        done: list[Change] = []
        open_changes = deque(changes)
        failed: Change | None = None
        while open_changes:
            change = open_changes.popleft()
            # After an interrupt or an error during this call, it is unknown whether the change was made.
            self._so_far = f"{len(done)} done, 1 unknown, {len(open_changes)} not done; {_AGAIN}"
            try:
                with self._show.busy(f"{change.kind}: {change.target}"):
                    iam.apply(change)
            except BootstrapError as error:
                if error.changed and change != failed:
                    # The response was lost, or another client changes the object: a new plan finds the other changes.
                    failed = change
                    iam.settle()
                    changes = again()
                    open_changes = deque(changes)
                    if change.call not in {other.call for other in changes}:
                        self._show.change(change, ChangeStatus.DONE)
                        done.append(change)
                    self._so_far = f"{len(done)} done, {len(changes)} not done; {_AGAIN}"
                    self._show_removals(changes)
                    self._reject_foreign(changes)
                    continue
                self._show.change(change, ChangeStatus.FAILED)
                for other in open_changes:
                    self._show.change(other, ChangeStatus.NOT_DONE)
                self._so_far = f"{len(done)} done, 1 failed, {len(open_changes)} not done; {_AGAIN}"
                if error.conflict:
                    self._so_far += restore(iam.apply, done, change.target, self._show)
                raise
            self._show.change(change, ChangeStatus.DONE)
            done.append(change)
            self._so_far = f"{len(done)} done, {len(open_changes)} not done; {_AGAIN}"
        later = "" if self._given.destroy else f". {_LATER}"
        text = f"done: {_count(len(done))}" if done else "nothing to do"
        text += self._denied_note() + (later if done else "")
        exit_code = Exit.DRIFT if self._denied else Exit.GOOD
        self._show.end(text, exit_code)
        return exit_code

    def _reject_foreign(self, changes: Changes) -> None:
        foreign = _foreign(changes)
        if not foreign:
            return
        for change in changes:
            self._show.change(change, ChangeStatus.NEEDS_ADOPT if change.foreign else ChangeStatus.NOT_DONE)
        raise SettingsError(foreign, f"{_FOREIGN} as shown", _ADOPT)


def _known(served: ThumbprintsByIssuer) -> Thumbprints:
    return {url: None if isinstance(found, BootstrapError) else found for url, found in served.items()}


def _foreign(changes: Changes) -> str:
    return ", ".join(dict.fromkeys(change.target for change in changes if change.foreign))


def _adoption_note(changes: Changes) -> str:
    number = sum(change.foreign for change in changes)
    return f", {number} {'needs' if number == 1 else 'need'} --adopt" if number else ""


def _count(number: int) -> str:
    return "1 change" if number == 1 else f"{number} changes"
