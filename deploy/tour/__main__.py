"""A tour of what production needs, on this machine: `make tour`.

From a checkout to a system with TLS, single sign-on, a dashboard with data and a restored backup. Each step says what it does
and why. It ends with 1 at the first thing that is not as it should be, and removes all that it started and made.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from deploy.tour import dashboard
from deploy.tour.mailbox import Mailbox
from deploy.tour.person import Browser, path_of
from deploy.tour.system import System, datasets_with_expectation
from deploy.tour.telling import NotAsItShouldBe, Telling, waited
from tests.support.certificates import Authority
from tests.support.oidc_provider import OidcProvider, running_provider
from tests.support.prometheus import PROGRAMS, free_port

GOOD = b"id,parentId,name,kind\nFR,,France,Country\nFR-75,FR,Paris,Department\nDE,,Germany,Country\n"
BAD = b"id,parentId,name,kind\nFR-99,XX,Nowhere,Department\n"
RULES = [{"claim": "groups", "contains": "data-team", "role": "uploader", "datasets": ["places"]}]
ADA = {"name": "Ada Example", "groups": ["data-team"], "email": "ada@example.org", "email_verified": True}
DIGEST = "select count(*) as records, md5(string_agg(places::text, ',' order by id)) as digest from places"
"""All columns of all records, also those that say which import wrote them and when."""


class Tour:
    """The tour in ``folder``, which is removed afterwards."""

    def __init__(self, folder: Path, provider: OidcProvider, mailbox: Mailbox) -> None:
        self._folder, self._provider, self._mailbox, self._tell = folder, provider, mailbox, Telling(7)
        self._port = free_port()
        self._authority = folder / "authority.pem"

    def take(self) -> None:
        """Take all steps. Raises NotAsItShouldBe."""
        settings = self._settings()
        first = System(self._folder / "first", self._port, settings)
        with first.running():
            self._system(first)
            break_glass = self._people(first)
            self._dashboard(first)
            self._doctor(first)
            head, before = self._backup(first)
        second = System(self._folder / "second", self._port, settings)
        self._restore(first, second, head, before, break_glass)
        self._tell.end()

    def _settings(self) -> dict[str, str]:
        self._tell.step(
            "A certificate and the settings",
            "A private authority signs the web app's certificate, as your company's would. Without TLS, keys and files would"
            " cross the network in clear text.",
        )
        issued = Authority(self._folder).issue("bulkhead", "127.0.0.1", "localhost")
        self._provider.setup(accounts={"ada": ADA}, redirect_uris=[f"https://127.0.0.1:{self._port}/sign-in/sso/callback"])
        token = self._folder / "metrics-token"
        token.write_text(secrets.token_urlsafe(32))
        given = {
            "BULKHEAD_TLS_CERTIFICATE": str(issued.certificate),
            "BULKHEAD_TLS_KEY": str(issued.key),
            "BULKHEAD_CA_CERTIFICATE": str(self._authority),
            "BULKHEAD_METRICS_PORT": str(free_port()),
            "BULKHEAD_METRICS_TOKEN_FILE": str(token),
            "BULKHEAD_METRICS_CERTIFICATES": str(issued.certificate),
            "BULKHEAD_DATASETS_ROOT": str(datasets_with_expectation(self._folder / "datasets")),
            "BULKHEAD_EMAIL_TO": "you@example.org",
            "BULKHEAD_SMTP_URL": self._mailbox.url,
            "BULKHEAD_OIDC_REQUIRED": "true",
        }
        as_client = {f"BULKHEAD_{name.upper()}": value for name, value in self._provider.settings().items()}
        given |= as_client | {"BULKHEAD_OIDC_RULES": json.dumps(RULES)}
        for name, value in given.items():
            print(f"      {name}={'...' if name.endswith('_SECRET') else value}")
        return given

    def _system(self, system: System) -> None:
        self._tell.step(
            "The system",
            "`bulkhead up` has started PostgreSQL, S3 (SeaweedFS), Temporal, relay, worker and web app. In production the first"
            " three are yours, and the other three run as in docs/deployment.md.",
        )
        stranger = Browser(system.url, self._authority)
        self._tell.check(stranger.json("/healthz"), f"{system.url} answers with TLS, by a certificate of the private authority")
        landed = stranger.page("/imports")
        self._tell.check(path_of(landed) == "/sign-in", "without a session a page leads to the sign-in", landed.url)

    def _people(self, system: System) -> str:
        """Sign in and upload; return a break-glass key."""
        self._tell.step(
            "A person signs in and uploads",
            "Ada's account is at the identity provider. Its groups decide by BULKHEAD_OIDC_RULES what she may do here, so there"
            " is no second list of people to keep.",
        )
        tell, ada = self._tell, Browser(system.url, self._authority)
        page = ada.sign_in(self._provider, "ada")
        tell.check(path_of(page) == "/imports" and "Ada Example" in page.text, "Ada has signed in at the provider", page.url)
        good = ada.upload("places", "places.csv", GOOD)
        tell.check(good["state"] == "succeeded", "her file is loaded", good)
        tell.check(good["created_by"]["name"] == "Ada Example", "the import has her name in created_by", good["created_by"])
        record = ada.json("/v1/datasets/places/records/FR-75")
        tell.check("Paris" in json.dumps(record), "the record FR-75 is there: Paris", record)
        bad = ada.upload("places", "wrong.csv", BAD)
        tell.check(bad["state"] == "rejected", "a file with a missing parent is rejected", bad)
        keyed = Browser(system.url, self._authority, system.local_key)
        status = keyed.page("/imports").status_code
        tell.check(status == 403, "pages are refused to an ordinary key, since single sign-on is required", status)
        tell.check(keyed.json("/v1/imports")["items"], "the API takes that key as before")
        key: str = system.bulkhead("key", "create", "the safe", "--break-glass")["key"]
        self._break_glass(system, key)
        waited(lambda: len(self._mailbox.subjects) >= 3, 60, "mails about both imports and the break-glass key have arrived")
        tell.check(True, f"the operator has mail: {'; '.join(self._mailbox.subjects)}")
        return key

    def _break_glass(self, system: System, key: str) -> None:
        status = Browser(system.url, self._authority, key).page("/imports").status_code
        self._tell.check(status == 200, "a break-glass key opens the pages if the provider is away", status)
        used = system.bulkhead("audit-log", "list", "--action", "break_glass")
        self._tell.check(used, "and its use is in the audit log")

    def _dashboard(self, system: System) -> None:
        self._tell.step(
            "The dashboard has data",
            "Prometheus scrapes the three processes with the rules of deploy/monitoring/, and each panel of dashboard.json is"
            " evaluated. Grafana would show the same.",
        )
        token, folder = self._folder / "metrics-token", self._folder / "prometheus"
        folder.mkdir()
        with dashboard.scraping(folder, targets=system.targets, token=token, authority=self._authority) as server:
            dashboard.show(server, self._tell)

    def _doctor(self, system: System) -> None:
        self._tell.step(
            "The doctor", "`bulkhead doctor` checks what the system needs. Run it after each change of the settings."
        )
        found = system.bulkhead("doctor")
        ill = [one for one in found if one["state"] != "ok"]
        self._tell.check(found and not ill, f"{len(found)} of {len(found)} checks are ok", ill)

    def _backup(self, system: System) -> tuple[str, object]:
        """Return the audit log's newest hash and the digest of the records."""
        self._tell.step(
            "A backup",
            "One moment of database and bucket, made while the system runs. The hash of the audit log's newest event is noted"
            " elsewhere: so it would be found out if its end were cut off.",
        )
        before = system.bulkhead("sql", DIGEST)
        verified = system.bulkhead("audit-log", "verify")
        self._tell.check(verified["ok"], f"the {verified['events']} events of the audit log fit to each other", verified)
        made = system.bulkhead("backup", str(self._folder / "backups"))
        good = system.bulkhead("backup", "--verify", str(self._folder / "backups"))["good"]
        self._tell.check(good, f"backup {made['name']} is made, and each byte of it verified")
        return str(verified["head_hash"]), before

    def _restore(self, first: System, second: System, head: str, before: object, break_glass: str) -> None:
        self._tell.step(
            "The machine is lost, and the backup restored",
            "The first system is stopped and its home removed. A fresh home gets the backup and serves at the same address. A"
            " backup that was never restored is a hope.",
        )
        shutil.rmtree(first.home)
        done = second.bulkhead("restore", str(self._folder / "backups"), "--home", str(second.home))
        self._tell.check(
            not (done["missing"] or done["unknown"] or done["problem"]), "it is restored, and nothing is missing", done
        )
        with second.running():
            after = second.bulkhead("sql", DIGEST)
            self._tell.check(after == before, f"the records have the same digest as before: {after}", before)
            verified = second.bulkhead("audit-log", "verify", "--head", head)
            self._tell.check(verified["ok"], "the audit log fits to the hash that was noted", verified)
            ada = Browser(second.url, self._authority)
            ada.sign_in(self._provider, "ada")
            names = {one["created_by"]["name"] for one in ada.json("/v1/imports")["items"]}
            self._tell.check(names == {"Ada Example"}, "Ada signs in again, and sees her imports", names)
            self._break_glass(second, break_glass)
            ill = [one for one in second.bulkhead("doctor") if one["state"] != "ok"]
            self._tell.check(not ill, "the doctor finds nothing wrong", ill)


def _missing(what: str) -> NoReturn:
    raise NotAsItShouldBe(what)


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """Take the tour; return the exit code: 0 if all was as it should be, 1 if not, 2 for arguments, 130 if stopped."""
    if arguments:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    try:
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            _missing(f"{' and '.join(missing)} is not installed: Debian's package prometheus has it (make setup).")
        with ExitStack() as made:
            folder = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="tour-")))
            provider, mailbox = made.enter_context(running_provider(_missing)), made.enter_context(Mailbox().open())
            Tour(folder, provider, mailbox).take()
    except NotAsItShouldBe as error:
        print(f"\nThe tour ends here. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
