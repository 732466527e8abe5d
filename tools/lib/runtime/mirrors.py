"""The Debian mirrors to ask: a given one, or those that the machine's own apt uses.

Also the archives of retired releases that belong to these mirrors.
"""
import glob
import ipaddress
import os
import urllib.parse

from data.errors import InputError

#: Beginnings of the addresses that apt can fetch from at any time; a disc is none of them.
SCHEMES = ("http:", "https:", "file:", "mirror+", "tor+", "ftp:")
OTHER_ROUTES = (
    "name another mirror (--mirror URL), or a folder with the packages (--debs FOLDER), or take "
    "conda: conda env create -f environment.yml, then run the commands in that environment; or "
    "compile it: python3 tools/build/build_caffe.py --variant cpu (docs/source_build.md)")


def mirrors_to_ask(given=None):
    """Addresses, best first: the given one, otherwise those of the machine's apt sources."""
    if given is not None:
        if not given.startswith(SCHEMES) or len(given.split()) != 1:
            raise InputError("--mirror: expected an address such as file:/mnt/debian or "
                             f"http://.../debian, found '{given}'")
        return [given.rstrip("/")]
    found = machine_mirrors()
    if not found:
        raise InputError("no Debian mirror in this machine's apt sources (/etc/apt)",
                         fix=OTHER_ROUTES)
    return found


def machine_mirrors(folder="/etc/apt"):
    """Archive addresses of the machine's enabled Debian sources, in apt's order, each once.

    Both formats are read: `deb URI suite component...` lines (*.list) and deb822 stanzas
    (*.sources). Only entries with the component `main` and a plain suite name count. Security
    archives, which hold no whole suite, come last. Other vendors' archives may be among the
    addresses: apt refuses what Debian has not signed.
    """
    paths = [os.path.join(folder, "sources.list")]
    paths += sorted(glob.glob(os.path.join(folder, "sources.list.d", "*.list"))
                    + glob.glob(os.path.join(folder, "sources.list.d", "*.sources")))
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        read = deb822_sources if path.endswith(".sources") else one_line_sources
        for uris, suites, components in read(text):
            if "main" in components and any("/" not in suite.rstrip("/") for suite in suites):
                found += [uri.rstrip("/") for uri in uris if uri.startswith(SCHEMES)]
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda uri: "security" in uri)


def archives_of(mirrors):
    """Addresses where retired releases would be, derived from the mirrors' own, best first.

    For http://deb.house.test/debian these are the host archive of the same domain,
    http://archive.house.test/debian, and the folder beside debian/,
    http://deb.house.test/debian-archive/debian. A label of two letters, such as de in
    ftp.de.house.test, counts as a country, so the host of the domain above it is asked too.
    Names and passwords in an address go to no other host. Security archives hold no whole suite.
    """
    hosts, folders = [], []
    for mirror in mirrors:
        parts = urllib.parse.urlsplit(mirror)
        folder, name = os.path.split(parts.path)
        if not name or "security" in mirror or parts.scheme.startswith("mirror"):
            continue
        for host in _archive_hosts(parts):
            hosts.append(urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", "")))
        beside = f"{folder.rstrip('/')}/debian-archive/{name}"
        folders.append(f"{parts.scheme}:{beside}" if parts.scheme == "file"
                       else urllib.parse.urlunsplit((parts.scheme, parts.netloc, beside, "", "")))
    return [uri for uri in dict.fromkeys(hosts + folders) if uri not in mirrors]


def _archive_hosts(parts):
    """Hosts, with the port, named archive in the domain of a split address; [] without a domain."""
    try:
        name, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
        ipaddress.ip_address(name)
        return []
    except ValueError:
        labels = name.split(".")
    if len(labels) < 2:
        return []
    domains = [labels if len(labels) == 2 else labels[1:]]
    if len(domains[0]) > 2 and len(domains[0][0]) == 2:
        domains.append(domains[0][1:])
    return [".".join(["archive"] + domain) + port for domain in domains]


def one_line_sources(text):
    """[(uris, suites, components)] of `deb [options] URI suite component...` lines."""
    found = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0] != "deb":
            continue
        words = words[1:]
        if words and words[0].startswith("["):
            # options may hold spaces: [ arch=amd64 signed-by=... ]
            end = next((n for n, word in enumerate(words) if word.endswith("]")), None)
            words = [] if end is None else words[end + 1:]
        if len(words) >= 3:
            found.append(([words[0]], [words[1]], words[2:]))
    return found


def deb822_sources(text):
    """[(uris, suites, components)] of the enabled binary stanzas of a *.sources file."""
    found = []
    for stanza in _stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "off", "0"):
            continue
        if "deb" not in stanza.get("types", "").split():
            continue
        found.append((stanza.get("uris", "").split(), stanza.get("suites", "").split(),
                      stanza.get("components", "").split()))
    return found


def _stanzas(text):
    """Yields a dictionary (lower-case field -> value) for each stanza; comments may be anywhere."""
    stanza, field = {}, None
    for line in text.splitlines() + [""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, None
        elif line[0] in " \t":
            if field:
                stanza[field] += " " + line.strip()
        else:
            field, _, value = line.partition(":")
            field = field.strip().lower()
            stanza[field] = value.strip()
