"""Requests to an appliance: TLS, time-outs, retries, fail-over, and answers turned into bytes or exceptions.

What is always true here:

- Every wait for the next bytes is finite, and so are the time and the size of a whole body.
- A request is repeated only when repeating it cannot do it twice: GET, PUT and DELETE by their nature, a POST because
  it carries an `Idempotency-Key` by which the appliance recognises it.
- A refusal is final, and so is a time-out: whoever was too slow once is not asked again, only the next node is.
- No redirect is followed and no proxy, netrc or other setting of the environment is used: the password goes to the
  configured origins and nowhere else.
"""

import base64
import contextlib
import dataclasses
import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import httpx2

from privyseal.client import errors, trust
from privyseal.client.configuration import API_PATH, Configuration, read_secret

MAX_ANSWER = 64 * 1024 * 1024
_LONGEST_PAUSE = 5.0
_UPLOAD_SECONDS = 3600.0  # until the answer to a body that takes its time
_ERROR_NUMBER = re.compile(r"^\[Errno -?\d+\] ")
_FIRST_REFUSAL_STATUS = 400
_CERTIFICATE_ALERTS = {"TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"}
_SUCCESS = range(200, 300)
_NEXT_NODE = (errors.UnreachableError, errors.UnavailableError, errors.ApplianceLockedError)
_NEXT_ROUND = (errors.UnreachableError, errors.UnavailableError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the appliance answered to a request that it carried out."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            UnexpectedAnswerError: it is none.
        """
        document = _json_object(self.content)
        if document is None:
            raise errors.UnexpectedAnswerError("the answer is not a JSON object; is this a Privyseal appliance?")
        return document


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that comes in pieces: roughly how long it is, in bytes, where that is known, and the pieces."""

    length: int | None
    pieces: Iterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, the same at every attempt."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | Iterator[bytes] | None = field(repr=False)
    timeout: float


class Connection:
    """Connections to one appliance, or to several nodes that stand in for one another.

    Safe to use from several threads.

    Args:
        configuration: where to, and as whom.

    Raises:
        ConfigurationError: there is no URL, or a file named in the configuration cannot be used.
    """

    def __init__(self, configuration: Configuration) -> None:
        if not configuration.urls:
            raise errors.ConfigurationError("no appliance is configured: there is no URL")
        self._configuration = configuration
        self._authorisation = _authorisation(configuration)
        self._nodes: dict[str, httpx2.Client] = {}
        self._lock = threading.Lock()
        self._preferred = configuration.urls[0]

    def __enter__(self) -> Self:
        """Nothing is opened yet; the first request does that."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections; a later request opens new ones."""
        with self._lock:
            nodes, self._nodes = self._nodes, {}
        for node in nodes.values():
            node.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Send one request and wait for its answer.

        Args:
            method: the HTTP verb.
            path: behind `/api/v1`, its parts percent-encoded.
            query: entries that are None are left out.
            body: sent as JSON; entries that are None are left out.
            timeout: longest wait for one answer, in seconds; None means the configured one.

        Raises:
            ClientError: the subclass that says what went wrong.
        """
        call = self._call(method, path, query, body, timeout)
        failure = self._ask_every_node(call)
        for attempt in range(self._configuration.retries):
            if not isinstance(failure, _NEXT_ROUND) or isinstance(failure, errors.TimedOutError):
                break
            time.sleep(min(failure.retry_after or 0.1 * 2**attempt, _LONGEST_PAUSE))
            failure = self._ask_every_node(call)
        if isinstance(failure, Answer):
            return failure
        raise failure

    def lines(self, path: str, counted: str) -> Iterator[tuple[int, bytes]]:
        """The lines of a long answer as they come, without their ends, each with the number in the header `counted`.

        It is asked for once and from one node, because its beginning may have been used already when its end fails.

        Raises:
            ClientError: the subclass that says what went wrong.
        """
        call, url = self._call("GET", path, None, None, None), self._preferred
        try:
            with self._node(url).stream(
                call.method, url + call.target, headers=call.headers, timeout=call.timeout
            ) as response:
                if response.status_code not in _SUCCESS:
                    content = b"".join(_within(response.iter_raw(), time.monotonic() + call.timeout))
                    raise _from_refusal(url, response.status_code, response.headers, content)
                number = response.headers.get(counted, "0")
                for line in _lines(response.iter_raw()):
                    yield int(number) if number.isdecimal() else 0, line
        except httpx2.HTTPError as error:
            raise _from_transport(error, url, call.timeout) from None

    @contextlib.contextmanager
    def download(self, method: str, path: str) -> Iterator[Download]:
        """Send one request whose answer is longer than memory should hold, to the node that answered last.

        Raises:
            ClientError: the subclass that says what went wrong, also while the pieces come.
        """
        call = self._call(method, path, None, None, None)
        url = self._preferred
        try:
            with self._node(url).stream(
                call.method, url + call.target, headers=call.headers, timeout=call.timeout
            ) as response:
                if response.status_code not in _SUCCESS:
                    raise _from_refusal(url, response.status_code, response.headers, response.read())
                length = response.headers.get("Estimated-Length", "")
                yield Download(int(length) if length.isdecimal() else None, response.iter_raw())
        except httpx2.HTTPError as error:
            raise _from_transport(error, url, call.timeout) from None

    def upload(
        self,
        path: str,
        pieces: Iterator[bytes],
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str | int | None] | None = None,
    ) -> Answer:
        """POST a body that is longer than memory should hold, to the node that answered last, once.

        Raises:
            ClientError: the subclass that says what went wrong.
        """
        call, url = self._call("POST", path, query, None, _UPLOAD_SECONDS), self._preferred
        streamed = dataclasses.replace(call, headers={**call.headers, **headers}, content=pieces)
        return self._send(url, streamed)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None,
        body: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> _Call:
        headers = {"Accept": "application/json, application/problem+json, */*", "Accept-Encoding": "identity"}
        if self._authorisation:
            headers["Authorization"] = self._authorisation
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if body is not None:
            headers["Content-Type"] = "application/json"
        parameters = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        return _Call(
            method=method,
            target=f"{API_PATH}{path}{'?' if parameters else ''}{parameters}",
            headers=headers,
            content=None if body is None else _json_bytes(body),
            timeout=timeout or self._configuration.timeout_ms / 1000,
        )

    def _ask_every_node(self, call: _Call) -> Answer | errors.ClientError:
        """Ask the node that answered last, then the others. A node that is down or locked passes the request on."""
        failure: errors.ClientError | None = None
        for url in sorted(self._configuration.urls, key=lambda url: url != self._preferred):
            try:
                answer = self._send(url, call)
            except _NEXT_NODE as error:
                failure = failure or error
            else:
                self._preferred = url
                return answer
        assert failure is not None  # noqa: S101  there is at least one URL
        return failure

    def _send(self, url: str, call: _Call) -> Answer:
        deadline = time.monotonic() + call.timeout
        try:
            with self._node(url).stream(
                call.method, url + call.target, content=call.content, headers=call.headers, timeout=call.timeout
            ) as response:
                content = b"".join(_within(response.iter_raw(), deadline))
        except httpx2.HTTPError as error:
            raise _from_transport(error, url, call.timeout) from None
        except httpx2.InvalidURL as error:
            raise errors.InvalidInputError(f"{url}: {error}") from None
        except TimeoutError:
            raise errors.TimedOutError(f"{url} did not answer within {call.timeout:g} seconds") from None
        if response.status_code in _SUCCESS:
            return Answer(response.status_code, response.headers, content)
        raise _from_refusal(url, response.status_code, response.headers, content)

    def _node(self, url: str) -> httpx2.Client:
        with self._lock:
            if url not in self._nodes:
                self._nodes[url] = httpx2.Client(
                    verify=trust.context_for(self._configuration, url),
                    trust_env=False,
                    limits=httpx2.Limits(max_connections=self._configuration.pool),
                )
            return self._nodes[url]


def path_part(name: str) -> str:
    """A name as one part of a path. Dots alone would be taken for a folder, so they are encoded too.

    Raises:
        InvalidInputError: it is empty.
    """
    if not name:
        raise errors.InvalidInputError("the name of a core, key, user or object cannot be empty")
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def _authorisation(configuration: Configuration) -> str | None:
    """The Authorization header: a bearer credential if there is one, else Basic (RFC 7617), else nothing."""
    if configuration.credential_file:
        return f"Bearer {read_secret(configuration.credential_file)}"
    password = configuration.read_password()
    if configuration.user is None or password is None:
        return None
    if ":" in configuration.user:
        raise errors.ConfigurationError("a user name cannot hold a colon")
    credentials = f"{configuration.user}:{password}".encode()
    return f"Basic {base64.b64encode(credentials).decode()}"


def _json_bytes(body: Mapping[str, Any]) -> bytes:
    present = {name: value for name, value in body.items() if value is not None}
    return json.dumps(present, ensure_ascii=False, separators=(",", ":")).encode()


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut what comes into lines; each is short, or the answer is none of ours."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_ANSWER:
            raise errors.UnexpectedAnswerError(f"a line is larger than {MAX_ANSWER // 1024**2} MiB")
        yield from whole
    if rest:
        yield rest


def _within(chunks: Iterator[bytes], deadline: float) -> Iterator[bytes]:
    """Pass the chunks on until they are too late or too many."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_ANSWER:
            raise errors.UnexpectedAnswerError(f"the answer is larger than {MAX_ANSWER // 1024**2} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError
        yield chunk


def _from_transport(error: httpx2.HTTPError, url: str, timeout: float) -> errors.ClientError:
    """The network's failure in our words."""
    if isinstance(error, httpx2.ConnectTimeout):
        return errors.UnreachableError(f"{url} cannot be reached within {timeout:g} seconds")
    if isinstance(error, httpx2.TimeoutException):
        return errors.TimedOutError(f"{url} did not answer within {timeout:g} seconds")
    if isinstance(error, httpx2.ConnectError):
        return (
            _from_tls(error, url)
            or _from_alert(error, url)
            or errors.UnreachableError(f"{url} cannot be reached: {_without_number(str(error))}")
        )
    if (refused := _from_alert(error, url)) is not None:
        return refused
    cut = "disconnected" in str(error) or "peer closed connection" in str(error)
    if isinstance(error, httpx2.RemoteProtocolError) and not cut:
        return errors.UnexpectedAnswerError(f"{url} does not speak HTTP as we know it: {error}")
    return errors.UnreachableError(f"{url} cut the connection: {error or type(error).__name__}")


def _without_number(said: str) -> str:
    """What the system says; the number of its error before it says nothing to people."""
    without = _ERROR_NUMBER.sub("", said)
    return said if without == said else without.lower()


def _from_alert(error: BaseException, url: str) -> errors.ClientError | None:
    """What the appliance's TLS has against this host's certificate. In TLS 1.3 it says so when we read its answer."""
    reasons = {cause.reason for cause in _causes(error) if isinstance(cause, ssl.SSLError)}
    if reasons.isdisjoint(_CERTIFICATE_ALERTS):
        return None
    return errors.UnauthenticatedError(f"{url} does not take the certificate of this host: it is registered for nobody")


def _from_tls(error: BaseException, url: str) -> errors.ClientError | None:
    """What TLS has to say about a failed connection; the cause that explains it lies deep in the chain."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.CertificateError(f"{url} is not trusted: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError) and cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return errors.UnreachableError(f"{url} does not speak TLS")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _from_refusal(url: str, status: int, headers: Mapping[str, str], content: bytes) -> errors.ClientError:
    document = _json_object(content)
    if status < _FIRST_REFUSAL_STATUS or document is None or "type" not in document:
        return errors.UnexpectedAnswerError(
            f"{url} answered {status} without a problem document; is this a Privyseal appliance?", status=status
        )
    wait = headers.get("Retry-After", "")
    return errors.from_problem(document, status, retry_after=float(wait) if wait.isdecimal() else None)
