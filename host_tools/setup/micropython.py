"""Leave the unix port of MicroPython in two word sizes as build/bin/micropython-x64 and build/bin/micropython-x86.

A `micropython` on PATH serves the word size it has, if it is new enough. What is missing is taken from Debian trixie's packages through this
machine's own Debian mirror, unpacked below build/ and run through the packages' own dynamic loader: nothing on the system changes.
Needs only the standard library, because it runs before the virtual environment exists.
"""

import argparse
import hashlib
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

MINIMUM = (1, 25)
SUITE = "trixie"
MAX_PACKAGE_BYTES = 32 << 20
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What the port needs: name -> folder on the mirror, version, SHA-256. Version and hash serve only where the mirror's lists cannot be used.
PACKAGES = {
    "micropython": (
        "pool/main/m/micropython",
        "1.25.0+ds-1",
        {
            "amd64": "a2c8327c1005cbf0f15c83d1d3b94c20585135c29a97ab1483ada93b82d94a88",
            "i386": "a72799821cb45442150f8a7f0757bc8e4f9a4b64abccbd837d694a20d6900bb5",
        },
    ),
    "libc6": (
        "pool/main/g/glibc",
        "2.41-12+deb13u4",
        {
            "amd64": "967aa62605721081c3eb2a17650611a792aa802d76a6511d1840242623d204c9",
            "i386": "67bb4b54cf4bb6a380449dfa1852cd9135659f85360caa0e41d312f4b30e573a",
        },
    ),
    "libffi8": (
        "pool/main/libf/libffi",
        "3.4.8-2",
        {
            "amd64": "0ebdc340de33333639c3c63874cd4b15ac2e83dfa1ef3053b7eefaf4919f4f68",
            "i386": "8bafefb38c320ca27796070c881595ce04d900c3b534ac142a494daf1fe1db13",
        },
    ),
    "libmbedcrypto16": (
        "pool/main/m/mbedtls",
        "3.6.6-0.1~deb13u1",
        {
            "amd64": "b38baf2ecaca7b28b3005d34b8108ee9b17681426b20662813995e939aea6dfa",
            "i386": "aa4698ed436eebf77e3dc9f5c514073bd554109d857d887db5a367dde9a5c377",
        },
    ),
    "libmbedtls21": (
        "pool/main/m/mbedtls",
        "3.6.6-0.1~deb13u1",
        {
            "amd64": "9e280505afa5f5aa7034e494e7466c82d8e9af2eb3bf2edf46bab0bd7b62e1ac",
            "i386": "eb1b20154ce9008aca1d036698ffc12019020a54985d2c5ae3dc1c1c39c9e995",
        },
    ),
    "libmbedx509-7": (
        "pool/main/m/mbedtls",
        "3.6.6-0.1~deb13u1",
        {
            "amd64": "e0b6630efcf9eae2e05172496576bc3235be134a6bbf8da4cf3570fba65f65b8",
            "i386": "fe6ba192c9227d30a4cd05a3bdeccdf9ff30d55b27d8ff488126c16dcf727cce",
        },
    ),
}
# launcher -> (Debian architecture, sys.maxsize, library folder, dynamic loader)
PORTS = {
    "micropython-x64": ("amd64", 2**63 - 1, "usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "micropython-x86": ("i386", 2**31 - 1, "usr/lib/i386-linux-gnu", "ld-linux.so.2"),
}
PROBE = "import sys; print(sys.implementation.version[0], sys.implementation.version[1], sys.maxsize)"
INSTALL_BY_HAND = (
    "Install MicroPython 1.25 or newer built for both 64-bit and 32-bit Linux (ports/unix; for 32 bits: make MICROPY_FORCE_32BIT=1)\n"
    "and put the binaries at build/bin/micropython-x64 and build/bin/micropython-x86; then run this again."
)


class SetupError(Exception):
    """What is missing, and what to do about it."""


def probe(command: list[str]) -> tuple[tuple[int, int], int] | None:
    """Return ((major, minor), sys.maxsize) of a MicroPython, or None where the command does not run."""
    try:
        result = subprocess.run([*command, "-c", PROBE], capture_output=True, text=True, timeout=20, check=True)
        major, minor, maxsize = map(int, result.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return (major, minor), maxsize


def serves(command: list[str], maxsize: int) -> bool:
    """Tell whether the command is a MicroPython of this word size, new enough."""
    found = probe(command)
    return found is not None and found[0] >= MINIMUM and found[1] == maxsize


def debian_mirror(etc_apt: Path) -> str:
    """Return the URI of the mirror that this machine takes Debian's main packages from.

    Raises SetupError where the machine's apt has no such source.
    """
    for path in [etc_apt / "sources.list", *sorted(etc_apt.glob("sources.list.d/*.list"))]:
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            match = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+/debian/?)\s+\S+\s+(.*)", line)
            if match and "main" in match[2].split():
                return match[1]
    for path in sorted(etc_apt.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^(\w[\w-]*):\s*(.+)$", stanza, re.MULTILINE))
            uri = fields.get("URIs", "").split()
            if uri and uri[0].rstrip("/").endswith("/debian") and "main" in fields.get("Components", "").split():
                return uri[0]
    raise SetupError(f"{etc_apt} names no Debian mirror, and no micropython >= 1.25 is on PATH.\n{INSTALL_BY_HAND}")


def run(command: list[str], folder: Path) -> None:
    """Run a package tool quietly; raise SetupError with its own words if it fails."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise SetupError(f"`{command[0]}` failed ({result.returncode}): {(result.stderr or result.stdout).strip()[-800:]}\n{INSTALL_BY_HAND}")


def apt_options(folder: Path) -> list[str]:
    """Return apt options that keep every file of its state below `folder`."""
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    for architecture, *_ in PORTS.values():
        options += ["-o", f"APT::Architectures::={architecture}"]
    return options


def check_tools() -> None:
    """Raise SetupError where Debian's packages cannot be fetched and unpacked here."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise SetupError(f"This machine has neither micropython >= 1.25 nor `{tool}` to fetch Debian's.\n{INSTALL_BY_HAND}")
    if not KEYRING.is_file():
        raise SetupError(f"{KEYRING} is missing: install the package debian-archive-keyring, then run this again.")


def refresh_apt(folder: Path, mirror: str) -> None:
    """Fetch trixie's package lists into a private apt state below `folder`."""
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
    run(["apt-get", *apt_options(folder), "update"], folder)


def fetch_pinned(mirror: str, architecture: str, target: Path) -> None:
    """Fetch the pinned versions by their place on the mirror; raise SetupError where one is gone or is not what was pinned."""
    for name, (place, version, digests) in PACKAGES.items():
        file = f"{name}_{version}_{architecture}.deb"
        try:
            with urllib.request.urlopen(f"{mirror.rstrip('/')}/{place}/{file}", timeout=60) as answer:  # noqa: S310 - the URI is the machine's own mirror
                content = answer.read(MAX_PACKAGE_BYTES + 1)
        except (urllib.error.URLError, TimeoutError) as error:
            raise SetupError(
                f"The mirror's package lists cannot be used, and {file} is not there either ({error}). Try again later.\n{INSTALL_BY_HAND}"
            ) from None
        if hashlib.sha256(content).hexdigest() != digests[architecture]:
            raise SetupError(f"{file} from the mirror is not the file that was pinned here: do not use that mirror.")
        (target / file).write_bytes(content)


def unpack(launcher: Path, folder: Path, mirror: str, lists_are_usable: bool) -> None:
    """Download one architecture's packages, unpack them and write their launcher."""
    architecture, _, libraries, loader = PORTS[launcher.name]
    target = folder / architecture
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    if lists_are_usable:
        run(["apt-get", *apt_options(folder), "download", *(f"{name}:{architecture}" for name in PACKAGES)], target)
    else:
        fetch_pinned(mirror, architecture, target)
    root = target / "root"
    for package in sorted(target.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)], target)
        package.unlink()
    launcher.unlink(missing_ok=True)
    launcher.write_text(
        "#!/bin/sh\n"
        f'root="$(dirname "$(dirname "$(readlink -f "$0")")")/micropython/{architecture}/root"\n'
        f'exec "$root/{libraries}/{loader}" --library-path "$root/{libraries}" "$root/usr/bin/micropython" "$@"\n'
    )
    launcher.chmod(0o755)


def set_up(build: Path) -> None:
    """Make both launchers below `build`/bin, doing only what is missing."""
    (build / "bin").mkdir(parents=True, exist_ok=True)
    on_path = shutil.which("micropython")
    mirror = ""
    lists_are_usable = False
    for name, (architecture, maxsize, *_) in PORTS.items():
        launcher = build / "bin" / name
        if serves([str(launcher)], maxsize):
            continue
        if on_path and serves([on_path], maxsize):
            launcher.unlink(missing_ok=True)
            launcher.symlink_to(on_path)
            continue
        if platform.system() != "Linux" or platform.machine() not in ("x86_64", "amd64"):
            raise SetupError(f"{platform.system()} on {platform.machine()}: Debian's packages for {architecture} do not run here.\n{INSTALL_BY_HAND}")
        folder = build / "micropython"
        if not mirror:
            check_tools()
            mirror = debian_mirror(Path("/etc/apt"))
            print("  micropython: reading Debian's package lists ...", flush=True)
            try:
                refresh_apt(folder, mirror)
                lists_are_usable = True
            except SetupError:  # a mirror in the middle of an update has lists that do not fit together
                print("  micropython: the mirror's lists do not fit together now; taking the pinned versions", flush=True)
        print(f"  micropython: fetching {architecture} packages ...", flush=True)
        unpack(launcher, folder, mirror, lists_are_usable)
        if not serves([str(launcher)], maxsize):
            raise SetupError(
                f"{launcher} does not run, or is older than 1.25. A kernel without 32-bit support explains it for x86.\n{INSTALL_BY_HAND}"
            )


def main() -> int:
    """Command line: micropython.py BUILD_FOLDER."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the build folder; launchers go to its bin/")
    try:
        set_up(parser.parse_args().build.resolve())
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
