"""Coverage-guided fuzzing of what the gateway reads (tests/gateway_targets.py) with atheris: `make fuzz`, or one target with libFuzzer's options:

    build/venv/bin/python tests/fuzz_gateway.py trie_proof -max_total_time=600

Inputs that reached something new are kept in build/fuzz/TARGET, one that failed in build/fuzz/TARGET.crash-...; exit code 1 says that there is one.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/fuzz"
SECONDS = 60
LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=70000", "-print_final_stats=1")
ATHERIS = "atheris==3.0.0"


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target in this process; never returns."""
    sys.path.insert(0, str(ROOT))
    import atheris

    with atheris.instrument_imports(include=["wattseal.gateway"]):
        from tests import gateway_targets

    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(gateway_targets.seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *LIMITS, f"-artifact_prefix={FOLDER}/{name}.", *options, str(corpus)], gateway_targets.TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.stderr.write(f"fuzz: atheris is not installed; {sys.executable} -m pip install {ATHERIS} (Linux, Python 3.11 to 3.13), then again\n")
        return 2
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], sys.argv[2:])
    sys.path.insert(0, str(ROOT))
    from tests.gateway_targets import TARGETS

    failed = []
    for name in TARGETS:
        sys.stderr.write(f"fuzz: {name}, {SECONDS} s\n")
        if subprocess.run([sys.executable, __file__, name, f"-max_total_time={SECONDS}"], env=os.environ, check=False).returncode:
            failed.append(name)
    sys.stderr.write(f"fuzz: failed: {', '.join(failed)}; see {FOLDER}\n" if failed else "fuzz: nothing was found\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
