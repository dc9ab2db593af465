"""Leave the unix port of MicroPython in two word sizes as build/bin/micropython-x64 and build/bin/micropython-x86.

A `micropython` on PATH serves the word size it has, if it is new enough. What is missing is taken from Debian trixie's packages through this
machine's own Debian mirror, unpacked below build/ and run through the packages' own dynamic loader: nothing on the system changes.
Needs only the standard library, because it runs before the virtual environment exists.
"""

import argparse
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

MINIMUM = (1, 25)
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = ("micropython", "libc6", "libffi8", "libmbedcrypto16", "libmbedtls21", "libmbedx509-7")
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


def refresh_apt(folder: Path) -> None:
    """Fetch trixie's package lists into a private apt state below `folder`."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise SetupError(f"This machine has neither micropython >= 1.25 nor `{tool}` to fetch Debian's.\n{INSTALL_BY_HAND}")
    if not KEYRING.is_file():
        raise SetupError(f"{KEYRING} is missing: install the package debian-archive-keyring, then run this again.")
    mirror = debian_mirror(Path("/etc/apt"))
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
    run(["apt-get", *apt_options(folder), "update"], folder)


def unpack(launcher: Path, folder: Path) -> None:
    """Download one architecture's packages, unpack them and write their launcher."""
    architecture, _, libraries, loader = PORTS[launcher.name]
    target = folder / architecture
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    run(["apt-get", *apt_options(folder), "download", *(f"{name}:{architecture}" for name in PACKAGES)], target)
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
    apt_is_fresh = False
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
        if not apt_is_fresh:
            print("  micropython: reading Debian's package lists ...", flush=True)
            refresh_apt(folder)
            apt_is_fresh = True
        print(f"  micropython: fetching {architecture} packages ...", flush=True)
        unpack(launcher, folder)
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
