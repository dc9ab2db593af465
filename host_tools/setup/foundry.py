"""Link anvil and cast in build/bin to the native binaries that npm brought for this machine. Needs only the standard library."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Command line: foundry.py BUILD_FOLDER."""
    build = Path(sys.argv[1]).resolve()
    for name in ("anvil", "cast"):
        found = sorted((build / "npm/node_modules/@foundry-rs").glob(f"{name}-*/bin/{name}"))
        if not found:
            print(f"setup: npm has no {name} for this machine (Linux and macOS on amd64 and arm64 are served): use one of these", file=sys.stderr)
            return 1
        link = build / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(found[0])
        version = subprocess.run([link, "--version"], capture_output=True, text=True)
        if version.returncode:
            print(f"setup: {link} does not run here: {version.stderr.strip()[:300]}", file=sys.stderr)
            return 1
        print(f"  {version.stdout.splitlines()[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
