"""`privyseal connect`: sets this host up so that its programs reach the keys of an appliance, and takes that back."""

import dataclasses
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from privyseal.cli import output, pkcs11, secrets
from privyseal.cli.commands import CORE
from privyseal.cli.commands import command as command_of
from privyseal.cli.reach import environment
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import Failure, warn
from privyseal.client import configuration as configurations
from privyseal.client import trust
from privyseal.client.configuration import Configuration
from privyseal.client.errors import CertificateError
from privyseal.client.host import connect, introduction, journal, openssl
from privyseal.client.host.introduction import Greeting
from privyseal.client.host.places import Places, places

_SHOWN_KEYS = 10
_TRUST = "Is this what `privyseal serve` printed on the appliance?"


@command_of(
    examples=[
        "privyseal connect https://hsm.example:8443 --user alice --password-file alice.password",
        "privyseal connect https://hsm.example:8443 --user alice --password-file F --fingerprint sha256:3f…",
        "privyseal connect https://hsm.example:8443 --user alice --password-file F --yes --prefix /opt/privyseal",
        "privyseal connect --undo",
    ]
)
@click.argument("url", required=False)
@click.option("--user", metavar="NAME", help="User of the appliance for this host.")
@click.option("--password-file", metavar="FILE", help="That user's password; the set-up refers to this file.")
@click.option("--core", type=CORE, metavar="CORE", help="Show this core only; default: all that the user may see.")
@click.option("--fingerprint", metavar="SHA256", help="Of the appliance's CA, as `privyseal serve` prints it.")
@click.option("--yes", is_flag=True, help="Trust the CA that the appliance presents; with --undo: changed files too.")
@click.option("--prefix", type=click.Path(path_type=Path), metavar="DIR", help="Write nothing outside this folder.")
@click.option("--system", is_flag=True, help="Change the system's openssl.cnf instead of writing one of our own.")
@click.option("--undo", is_flag=True, help="Take the last `connect` back: every file is as it was before.")
@pass_session
def command(
    session: Session,
    *,
    url: str | None,
    user: str | None,
    password_file: str | None,
    core: int | str | None,
    fingerprint: str | None,
    yes: bool,
    prefix: Path | None,
    system: bool,
    undo: bool,
) -> None:
    """Set this host up for the appliance at URL: configuration, CA certificate, module, p11-kit and OpenSSL.

    As root it sets up the host, else your home folder. The appliance's fingerprint is shown and asked for, and the
    password is tried, before anything is written. It says what it wrote and what to type next.
    """
    there = places(prefix=prefix)
    if undo:
        _undo(session, there, force=yes)
        return
    meant = _meant(session, url, user, password_file)
    url, session.user = meant.get("PRIVYSEAL_URL"), meant.get("PRIVYSEAL_USER")
    if not url or not session.user:
        raise click.UsageError("say where the appliance is and as whom: privyseal connect URL --user NAME")
    reached = configurations.with_url(Configuration(), url)
    ca = _agreed(reached, meant.get("PRIVYSEAL_CA_FILE"), fingerprint, yes=yes)
    password, file = _password(session.user, meant)
    reached = configurations.override(reached, {"PRIVYSEAL_USER": session.user, "PRIVYSEAL_PASSWORD": password})
    greeting = _greet(session, reached, ca, core)
    wish = connect.Wish(
        url=reached.urls[0],
        user=session.user,
        core=core,
        password=None if file else password,
        password_file=file,
        ca=introduction.pem(ca),
        module=pkcs11.find(os.environ),
        system=system,
    )
    _set_up(session, wish, there, greeting)


def _meant(session: Session, url: str | None, user: str | None, password_file: str | None) -> dict[str, str]:
    """The environment with the options laid over it, which may stand before the command here, and behind it."""
    url, user, password_file = url or session.url, user or session.user, password_file or session.password_file
    return environment(dataclasses.replace(session, url=url, user=user, password_file=password_file))


def _agreed(reached: Configuration, ca_file: str | None, expected: str | None, *, yes: bool) -> tuple[bytes, ...]:
    """The CA certificates to trust, DER: those of --ca-file, or the appliance's own once somebody agreed to it.

    Of either only that with the fingerprint that was given, where one was.
    """
    url = reached.urls[0]
    if ca_file:
        known = introduction.ca_certificates(Path(ca_file))
        return known if expected is None else _named(known, expected, f"{ca_file} holds")
    presented = introduction.ca_certificate(url, reached.timeout_ms / 1000)
    if expected is not None:
        return _named((presented,), expected, f"{url} has")
    if not yes:
        _ask(url, trust.fingerprint(presented))
    return (presented,)


def _named(certificates: tuple[bytes, ...], expected: str, where: str) -> tuple[bytes, ...]:
    """Those with this fingerprint.

    Raises:
        UsageError: it is no fingerprint.
        CertificateError: there is none with it.
    """
    try:
        wanted = configurations.normalised_fingerprint(expected)
    except ValueError as error:
        raise click.UsageError(f"--fingerprint {error}") from None
    found = {trust.fingerprint(each): each for each in certificates}
    if wanted not in found:
        others = " and ".join(found)
        raise CertificateError(f"{where} a CA with the fingerprint {others}, not the one that was given")
    return (found[wanted],)


def _ask(url: str, fingerprint: str) -> None:
    """Let a person compare the fingerprint.

    Raises:
        UsageError: there is no terminal.
        Abort: it is another one.
    """
    shown = f"The CA of {url} has the fingerprint\n    {fingerprint}"
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"there is no terminal to ask at: compare {fingerprint} with what `privyseal serve` printed, "
            f"and give it as --fingerprint"
        )
    click.echo(shown, err=True)
    click.confirm(_TRUST, abort=True, err=True)


def _password(user: str, meant: Mapping[str, str]) -> tuple[str, Path | None]:
    """The password, and the file that the set-up may refer to: one that is still there tomorrow, not a pipe."""
    if password := meant.get("PRIVYSEAL_PASSWORD"):
        return password, None
    if file := meant.get("PRIVYSEAL_PASSWORD_FILE"):
        password = secrets.from_file(file)
        lasting = stat.S_ISREG(Path(file).stat().st_mode)
        return password, Path(os.path.realpath(file)) if lasting else None
    typed = secrets.ask(f"Password of {user}")
    if typed is None:
        raise click.UsageError("there is no terminal to ask at: give --password-file FILE, or - for stdin")
    return typed, None


def _greet(session: Session, reached: Configuration, ca: tuple[bytes, ...], core: int | str | None) -> Greeting:
    """Log in, and say what an administrator still has to do."""
    with introduction.trusting(reached, ca) as trusted:
        greeting = introduction.greet(trusted, core)
    if session.quiet:
        return greeting
    if core is not None and not any(core in {each.number, each.name} for each in greeting.cores):
        warn(f"{session.user} sees no core {core}: ask an administrator for it, or for a rule in it")
    elif greeting.signing is None:
        rule = f"privyseal rule create --user {session.user} --core {core or 1} --operations key:sign --keys '*'"
        warn(f"{session.user} may sign with no key yet; an administrator types: {rule}")
    return greeting


def _set_up(session: Session, wish: connect.Wish, there: Places, greeting: Greeting) -> None:
    here = openssl.find()
    written = connect.files(wish, there, here)
    journal.write(there.journal, written, private=there.private)
    notes = connect.notes(wish, there, here, os.environ)
    following = connect.next_commands(there, here, greeting.signing, system=wish.system)
    keys = greeting.keys[:_SHOWN_KEYS]
    answer: dict[str, Any] = {
        "url": wish.url,
        "user": wish.user,
        "openssl": {"version": here.version, "way": here.way} if here else None,
        "written": [str(each.path) for each in written],
        "keys": [{"label": key.label, "uri": key.uri} for key in keys],
        "next": following,
        "notes": notes,
    }
    if not session.quiet:
        for note in notes:
            warn(note)
    if output.document(session, answer) or session.quiet:
        return
    for each in written:
        click.echo(f"wrote {output.text(each.path)}")
    for key in keys:
        click.echo(f"key   {output.text(key.uri)}")
    click.echo("\n".join(["", "Next, for a file FILE:", *(f"  {output.text(line)}" for line in following)]))


def _undo(session: Session, there: Places, *, force: bool) -> None:
    try:
        done = journal.undo(there.journal, force=force)
    except journal.ChangedError as error:
        prefix = f" --prefix {there.prefix}" if there.prefix else ""
        raise Failure(error.detail, f"privyseal connect --undo --yes{prefix}, which loses those changes") from None
    answer = {
        "restored": [str(each) for each in done.restored],
        "removed": [str(each) for each in done.removed],
        "earlier": done.earlier,
    }
    if output.document(session, answer):
        return
    for word, paths in (("restored", done.restored), ("removed", done.removed)):
        for each in paths:
            output.note(session, f"{word} {each}")
    if done.earlier:
        output.note(session, "an earlier `privyseal connect` is in force again; --undo takes that one back too")
