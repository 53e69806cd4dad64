"""Posting a few words to an address that a person named, within limits: no redirect, one deadline, no answer read."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException

from adclick_backend import __version__
from adclick_backend.downloads.hosts import FetchError, Target, parse_url, resolve
from adclick_backend.downloads.pinned import PinnedConnection, trusted_authorities
from adclick_backend.downloads.watchdog import Watchdog

CONNECT_S, WHOLE_S = 5.0, 10.0

MOST_CHARACTERS = 2000  # of an address


class PostError(RuntimeError):
    """Nothing was posted; the message says why, without what the address holds besides its host."""


def checked_address(url: str) -> Target:
    """An http(s) address, taken apart.

    Raises:
        PostError: it is none, or carries a user name or a password.
    """
    try:
        if len(url) > MOST_CHARACTERS:
            raise FetchError("too long")
        return parse_url(url)
    except FetchError as error:
        raise PostError(
            "That is no address that can be posted to: it has to be a whole http or https one, such as "
            "https://chat.example.com/hooks/abc, without a user name, a password or blanks."
        ) from error


def post_json(url: str, body: Mapping[str, object]) -> None:
    """Post JSON to an address that a person who may configure this server named.

    Named servers may stand inside the building, as those of ``ADCLICK_IMAGE_HOSTS`` may. Link-local addresses, where
    clouds keep their keys, and multicast ones are never connected to. The name is looked up once, and the connection
    made to the very address that was looked at; redirects are not followed.

    Raises:
        PostError: it cannot be reached, or did not answer with a status of 200 to 299.
    """
    target = checked_address(url)
    data = json.dumps(body).encode()
    headers = {
        "Host": target.netloc,
        "User-Agent": f"adclick-backend/{__version__}",
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
    }
    with Watchdog(WHOLE_S) as watchdog:
        try:
            addresses = [one for one in resolve(target, public_only=False) if not _is_off_limits(one)]
            if not addresses:
                raise PostError(f"{target.netloc} leads to an address that nothing is posted to.")
            tls = trusted_authorities() if target.scheme == "https" else None
            connection = PinnedConnection(target, addresses, CONNECT_S, tls, watchdog)
            try:
                connection.request("POST", target.path, body=data, headers=headers)
                with connection.getresponse() as response:
                    status, reason = response.status, response.reason
            finally:
                connection.close()
            watchdog.check()
        except FetchError as error:
            raise PostError(str(error)) from error
        except ssl.SSLCertVerificationError as error:
            raise PostError(
                f"The certificate of {target.netloc} is not trusted: {error.verify_message}. If it is your company's "
                "own, set REQUESTS_CA_BUNDLE to a file with your certificate authority."
            ) from error
        except (OSError, HTTPException) as error:
            late = f"did not answer within {WHOLE_S:.0f} s"
            why = late if watchdog.expired else f"cannot be reached: {error or type(error).__name__}"
            raise PostError(f"{target.origin} {why}.") from error
    if not 200 <= status < 300:
        raise PostError(f"{target.origin} answered {status} {reason}.")


def _is_off_limits(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return any(one.is_link_local or one.is_multicast or one.is_unspecified for one in (ip, mapped) if one)
