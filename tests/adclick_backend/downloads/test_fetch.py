"""Downloads against everything that a task's address and the server behind it may try."""

from __future__ import annotations

import itertools
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adclick_backend.downloads.fetch import MAX_REDIRECTS, Fetcher, FetchError, TrustedServer
from adclick_backend.downloads.hosts import is_public
from tests.helpers.local_server import LocalServer, Reply, Request

PUBLIC = "93.184.216.34"
TOKEN = "Bearer secret"


def fetcher(*hosts: str, max_bytes: int = 1_000_000, timeout_s: float = 5.0) -> Fetcher:
    return Fetcher(hosts, max_bytes=max_bytes, connect_timeout_s=2.0, timeout_s=timeout_s)


class Internet:
    """A name server under the test's control, and wires that lead every public address to one local server."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {}  # the answers to give, one lookup after the other
        self.looked_up: list[str] = []
        self.connected: list[str] = []
        self.port = 0
        self._real_connect = socket.create_connection
        self._real_lookup = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._lookup)
        monkeypatch.setattr(socket, "create_connection", self._connect)

    def _lookup(self, host: str, port: int, *rest: object, **options: object) -> object:
        self.looked_up.append(host)
        answers = self.names.get(host)
        if not answers:
            return self._real_lookup(host, port, type=socket.SOCK_STREAM)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    def _connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.connected.append(address[0])
        host, port = ("127.0.0.1", self.port) if is_public(address[0]) else address
        return self._real_connect((host, port), timeout)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Reply | None]], LocalServer]]:
    servers: list[LocalServer] = []

    def start(answer: Callable[[Request], Reply | None]) -> LocalServer:
        servers.append(LocalServer(answer))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


Serve = Callable[[Callable[[Request], Reply | None]], LocalServer]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",  # 127.0.0.1 as one decimal number
        "0x7f000001",
        "0177.0.0.1",
        "１２７.0.0.1",  # full-width digits
        "localhost",
        "0.0.0.0",
        "10.0.0.5",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",  # the metadata service of a cloud
        "100.64.0.1",  # carrier-grade NAT
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",  # NAT64
        "[2002:7f00:1::]",  # 6to4
        "[fe80::1]",
        "[fec0::1]",
        "[fd00::1]",
        "[ff02::1]",
    ],
)
def test_address_inside_the_network_is_refused(host: str, internet: Internet) -> None:
    """reliability row 1: whatever the spelling, even if every host is allowed; nothing is connected to."""
    with pytest.raises(FetchError, match="not a public address"):
        fetcher("*").fetch(f"http://{host}:8080/image.png")
    assert internet.connected == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user@93.184.216.34/", "user name or a password"),
        ("http://93.184.216.34:80@127.0.0.1/", "user name or a password"),
        ("http://93.184.216.34\\@127.0.0.1/", "backslash"),
        ("http://93.184.216.34\\.example.com/", "backslash"),
        ("http://127.0.0.1\t.example.com/", "control character"),
        ("http://93.184.216.34/\r\nHost: localhost", "control character"),
        (" http://93.184.216.34/", "stray spaces"),
        ("http://93.184.216.34:99999/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("http://a..b/", "not a valid URL"),
        ("http:///image.png", "names no host"),
    ],
)
def test_ambiguous_url_is_refused(url: str, reason: str, internet: Internet) -> None:
    """reliability row 1: spellings that two parsers read differently never get as far as a lookup."""
    with pytest.raises(FetchError, match=reason):
        fetcher("*").fetch(url)
    assert internet.looked_up == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://93.184.216.34/image.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "gopher://93.184.216.34/",
        "javascript:alert(1)",
        "//93.184.216.34/image.png",
        "image.png",
        "",
    ],
)
def test_scheme_other_than_http_is_refused(url: str, internet: Internet) -> None:
    """reliability row 4."""
    with pytest.raises(FetchError, match=r"only http\(s\) URLs"):
        fetcher("*").fetch(url)
    assert internet.looked_up == []


def test_unlisted_host_is_refused_before_its_name_is_looked_up(internet: Internet) -> None:
    """reliability row 1."""
    with pytest.raises(FetchError, match=r"add evil\.example to ADCLICK_IMAGE_HOSTS"):
        fetcher("*.example.com", "images.example").fetch("http://evil.example/image.png")
    assert internet.looked_up == []


@pytest.mark.parametrize("entry", ["images.example", "images.example:80", "*.example", "*"])
def test_listed_public_host_is_fetched(entry: str, internet: Internet, serve: Serve) -> None:
    server = serve(lambda request: Reply(body=b"image"))
    internet.port = server.port
    internet.names["images.example"] = [[PUBLIC]]
    assert fetcher(entry).fetch("http://Images.Example./a b/ü.png?x=1#y") == b"image"
    assert server.paths == ["/a%20b/%C3%BC.png?x=1"]
    assert server.requests[0].headers["Host"] == "images.example"


def test_literally_listed_host_may_stand_inside_the_network(serve: Serve) -> None:
    server = serve(lambda request: Reply(body=b"image"))
    assert fetcher("127.0.0.1").fetch(f"{server.url}/a.png") == b"image"
    assert fetcher(f"127.0.0.1:{server.port}").fetch(f"{server.url}/a.png") == b"image"
    with pytest.raises(FetchError, match="neither Label Studio nor in"):
        fetcher(f"127.0.0.1:{server.port + 1}").fetch(f"{server.url}/a.png")


def test_rebinding_name_is_resolved_once_and_pinned(internet: Internet, serve: Serve) -> None:
    """reliability row 1: a name that is public when checked and local when used."""
    internet.port = serve(lambda request: Reply(body=b"image")).port
    internet.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert fetcher("*.example").fetch("http://rebind.example/") == b"image"
    assert internet.looked_up.count("rebind.example") == 1
    assert internet.connected == [PUBLIC]


def test_one_private_address_among_public_ones_is_refused(internet: Internet) -> None:
    """reliability row 1."""
    internet.names["mixed.example"] = [[PUBLIC, "10.0.0.1"]]
    with pytest.raises(FetchError, match=r"mixed\.example leads to 10\.0\.0\.1"):
        fetcher("*.example").fetch("http://mixed.example/")
    assert internet.connected == []


def test_next_address_is_tried_when_one_does_not_answer(internet: Internet, serve: Serve) -> None:
    server = serve(lambda request: Reply(body=b"image"))
    internet.names["twice.example"] = [["127.0.0.2", "127.0.0.1"]]
    assert fetcher("twice.example").fetch(f"http://twice.example:{server.port}/") == b"image"
    assert internet.connected == ["127.0.0.2", "127.0.0.1"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:{port}/inside", "not a public address"),
        ("//127.1:{port}/inside", "not a public address"),
        ("http://inside.example/", r"leads to 192\.168\.0\.7"),
        ("http://elsewhere.test/", "neither Label Studio nor in"),
        ("http://user:password@images.example/", "user name or a password"),
        ("file:///etc/passwd", "only http"),
    ],
)
def test_redirect_is_checked_like_the_first_address(
    location: str, reason: str, internet: Internet, serve: Serve
) -> None:
    """reliability row 1: every hop again."""
    server = serve(lambda request: Reply.redirect(location.format(port=server.port)))
    internet.port = server.port
    internet.names = {"images.example": [[PUBLIC]], "inside.example": [["192.168.0.7"]]}
    with pytest.raises(FetchError, match=reason):
        fetcher("*.example", "127.*").fetch("http://images.example/")
    assert server.paths == ["/"]


def test_five_redirects_are_followed_and_six_are_not(serve: Serve) -> None:
    """reliability row 1."""

    def answer(request: Request) -> Reply:
        left = int(request.path[1:])
        return Reply.redirect(f"/{left - 1}") if left else Reply(body=b"image")

    server = serve(answer)
    assert fetcher("127.0.0.1").fetch(f"{server.url}/{MAX_REDIRECTS}") == b"image"
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        fetcher("127.0.0.1").fetch(f"{server.url}/{MAX_REDIRECTS + 1}")


def test_storage_resolver_may_redirect_to_public_addresses_only(internet: Internet, serve: Serve) -> None:
    """reliability row 1: Label Studio answers for its buckets, but not for what stands inside the network."""
    aims = itertools.cycle(["http://bucket.test/signed?key=1", "http://minio.test/signed"])
    label_studio = serve(lambda request: Reply.redirect(next(aims), status=303))
    bucket = serve(lambda request: Reply(body=b"image"))
    internet.port = bucket.port
    internet.names = {"bucket.test": [[PUBLIC]], "minio.test": [["10.1.2.3"]]}
    trusted = TrustedServer(label_studio.url, TOKEN)
    url = f"{label_studio.url}/tasks/1/resolve/"

    assert fetcher().fetch(url, trusted, redirects_to_public=True) == b"image"
    assert bucket.paths == ["/signed?key=1"]
    assert bucket.requests[0].headers["Authorization"] is None
    with pytest.raises(FetchError, match=r"leads to 10\.1\.2\.3.*add minio\.test to ADCLICK_IMAGE_HOSTS"):
        fetcher().fetch(url, trusted, redirects_to_public=True)
    with pytest.raises(FetchError, match="neither Label Studio nor in"):
        fetcher().fetch(url, trusted)


def authorizations(server: LocalServer) -> list[str | None]:
    return [request.headers["Authorization"] for request in server.requests]


def test_token_goes_to_label_studio_alone(serve: Serve) -> None:
    """reliability row 2."""
    label_studio, other = (serve(lambda request: Reply(body=b"image")) for _ in range(2))
    trusted = TrustedServer(label_studio.url, TOKEN)
    fetcher().fetch(f"{label_studio.url}/data/upload/1/a.png", trusted)
    fetcher("127.0.0.1").fetch(f"{other.url}/a.png", trusted)  # same host, another port
    assert authorizations(label_studio) == [TOKEN]
    assert authorizations(other) == [None]


def test_token_is_dropped_when_a_redirect_leaves_label_studio(serve: Serve) -> None:
    """reliability row 2: and does not come back with a redirect to Label Studio."""
    replies = {"/there": lambda: Reply.redirect(f"{other.url}/and"), "/back": lambda: Reply(body=b"image")}
    label_studio = serve(lambda request: replies[request.path]())
    other = serve(lambda request: Reply.redirect(f"{label_studio.url}/back"))
    trusted = TrustedServer(label_studio.url, TOKEN)
    assert fetcher("127.0.0.1").fetch(f"{label_studio.url}/there", trusted) == b"image"
    assert label_studio.paths == ["/there", "/back"]
    assert authorizations(label_studio) == [TOKEN, None]
    assert authorizations(other) == [None]


def test_token_stays_with_redirects_inside_label_studio(serve: Serve) -> None:
    label_studio = serve(
        lambda request: Reply(body=b"image") if request.path.endswith("/") else Reply.redirect("/a/", 301)
    )
    fetcher().fetch(f"{label_studio.url}/a", TrustedServer(label_studio.url, TOKEN))
    assert authorizations(label_studio) == [TOKEN, TOKEN]


def test_redirect_to_another_port_of_label_studio_says_what_to_set(serve: Serve) -> None:
    """reliability row 2: http to https is another origin; nothing is sent there, and the message helps."""
    label_studio = serve(lambda request: Reply.redirect("https://127.0.0.1:1/a.png"))
    with pytest.raises(FetchError, match=r"image is at https://127\.0\.0\.1:1, but .* set LABEL_STUDIO_URL"):
        fetcher().fetch(f"{label_studio.url}/a.png", TrustedServer(label_studio.url, TOKEN))


def drip() -> Iterator[bytes]:
    while True:
        time.sleep(0.02)
        yield b"x"


def in_time(task: Callable[[], object]) -> float:
    start = time.monotonic()
    with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
        task()
    return time.monotonic() - start


def test_dripping_body_is_cut_at_the_deadline(serve: Serve) -> None:
    """reliability row 5."""
    server = serve(lambda request: Reply(body=drip()))
    assert in_time(lambda: fetcher("127.0.0.1", timeout_s=0.3).fetch(server.url)) < 1.0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: "])
def test_silent_or_dripping_start_is_cut_at_the_deadline(scheme: str, greeting: bytes) -> None:
    """reliability row 5: before the body there are the TLS handshake and the headers to wait for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)  # on a busy machine the deadline may pass before anybody connects

        def answer() -> None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                return
            with connection:
                pieces = drip() if greeting else iter(())
                try:
                    for piece in itertools.chain([greeting], pieces):
                        connection.sendall(piece)
                    done.wait(5)
                except OSError:
                    return

        done = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            if scheme == "https" and greeting:  # not TLS: refused at once
                with pytest.raises(FetchError, match="cannot be fetched"):
                    fetcher("127.0.0.1", timeout_s=0.3).fetch(url)
            else:
                assert in_time(lambda: fetcher("127.0.0.1", timeout_s=0.3).fetch(url)) < 1.0
        finally:
            done.set()
            thread.join()


def test_endless_body_is_cut_at_the_byte_limit(serve: Serve) -> None:
    """reliability row 5."""
    server = serve(lambda request: Reply(body=itertools.repeat(b"x" * 65536)))
    with pytest.raises(FetchError, match=r"larger than 1 MB \(ADCLICK_MAX_IMAGE_MB\)"):
        fetcher("127.0.0.1").fetch(server.url)


def test_announced_size_over_the_limit_is_refused_unread(serve: Serve) -> None:
    """reliability row 5."""
    server = serve(lambda request: Reply(headers={"Content-Length": "1000001"}, body=iter(())))
    with pytest.raises(FetchError, match="larger than 1 MB"):
        fetcher("127.0.0.1").fetch(server.url)


def test_body_of_exactly_the_limit_is_accepted(serve: Serve) -> None:
    server = serve(lambda request: Reply(body=b"x" * 1_000_000))
    assert len(fetcher("127.0.0.1").fetch(server.url)) == 1_000_000


def test_body_shorter_than_announced_is_an_error(serve: Serve) -> None:
    """reliability row 5: half a file is not a file."""
    server = serve(lambda request: Reply(headers={"Content-Length": "100"}, body=iter([b"x" * 60])))
    with pytest.raises(FetchError, match="ended 40 bytes early") as caught:
        fetcher("127.0.0.1").fetch(server.url)
    assert caught.value.passing


@pytest.mark.parametrize(
    ("status", "passing"), [(401, False), (404, False), (500, False), (429, True), (503, True)]
)
def test_status_is_reported_and_says_whether_to_come_back(status: int, passing: bool, serve: Serve) -> None:
    server = serve(lambda request: Reply(status, b"<html>stack trace</html>"))
    with pytest.raises(FetchError, match=f"answered {status}") as caught:
        fetcher("127.0.0.1").fetch(f"{server.url}/a.png?signature=secret")
    assert (caught.value.status, caught.value.passing) == (status, passing)
    assert "secret" not in str(caught.value)


def test_server_that_is_not_there(internet: Internet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError, match=r"cannot be fetched: .*refused") as caught:
        fetcher("127.0.0.1").fetch(f"http://127.0.0.1:{port}/")
    assert caught.value.passing
    with pytest.raises(FetchError, match=r"host nowhere\.invalid cannot be found"):
        fetcher("nowhere.invalid").fetch("http://nowhere.invalid/")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate for images.test, in one file."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=images.test -addext subjectAltName=DNS:images.test -keyout {key} -out {pem}",
        shell=True,
        check=True,
        capture_output=True,
    )
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@pytest.mark.parametrize("trusted", [True, False])
def test_https_checks_the_certificate_against_the_name(
    trusted: bool, certificate: Path, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability row 1: the pinned address is connected to under the host's own name."""
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    internet.names["images.test"] = [[PUBLIC]]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = LocalServer(lambda request: Reply(body=b"image"))
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    internet.port = server.port
    with server:
        if trusted:
            assert fetcher("*.test").fetch("https://images.test/a.png") == b"image"
            assert internet.connected == [PUBLIC]
        else:
            with pytest.raises(FetchError, match=r"certificate of images\.test is not trusted"):
                fetcher("*.test").fetch("https://images.test/a.png")
            assert server.paths == []
