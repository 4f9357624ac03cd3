"""Whether a request that needs no key may come from where it comes from: pages of others must not use a browser for it.

A browser sends what any page asks it to, to this machine too; who types a command, or a page of ours, is welcome.
Source: https://www.w3.org/TR/fetch-metadata/, and what Go's http.CrossOriginProtection makes of it.
"""

import ipaddress
import re

from serving.engine.errors import Forbidden

SAFE = ("GET", "HEAD", "OPTIONS")
OURS = ("same-origin", "none")  # a page of this server; what somebody has typed into the browser


def check_site(method: str, site: str | None, origin: str | None, host: str | None) -> None:
    """Raises Forbidden for a request that changes or costs something and that another site's page has made.

    `site` and `origin` are what its headers Sec-Fetch-Site, which old browsers do not send, and Origin say.
    """
    is_ours = site in OURS if site else origin is None or origin.partition("://")[2] == host
    if method not in SAFE and not is_ours:
        whose = f"a page of {origin!r:.80}" if origin else "a page of another site"
        raise Forbidden(f"[Origin] {whose} cannot use this server, as it needs no key: make one, and send it")


def check_host(host: str) -> None:
    """Raises Forbidden for a name of the Internet: whoever owns it may let it point to this machine (DNS rebinding)."""
    name = re.sub(r":\d*$", "", host).strip("[].").lower()
    if "." not in name or name.endswith(".localhost"):  # of this machine, or of its own network
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        advice = "use localhost or an address, make a key, or let everybody in with --open"
        whose = "this server is for its own machine alone"
        raise Forbidden(f"[Host] {whose}, got the name {host!r:.80}; {advice}") from None
