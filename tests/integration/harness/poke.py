"""Breaking a running process from outside: machine code of ours over the beginning of one of its
functions, through /proc/PID/mem. So what is tested is the program as it is shipped, and nothing in
it is there only to be broken; the next process is sound again, since the file is untouched."""

import platform
import re
import subprocess
from pathlib import Path

CODE = {
    "x86_64": {"loop": "ebfe",            # jmp to itself
               "segfault": "31c08900",    # xor eax,eax; mov [rax],eax
               "illegal": "0f0b"},        # ud2
    "aarch64": {"loop": "00000014",       # b to itself
                "segfault": "1f0000b9",   # str wzr,[x0] with the next line before it
                "illegal": "00000000"},
}
CODE["aarch64"]["segfault"] = "000080d2" + "1f0000b9"  # mov x0,#0; str wzr,[x0]


def symbol(binary, name):
    """Its offset from where the program is loaded."""
    listed = subprocess.run(["nm", str(binary)], check=True, text=True, stdout=subprocess.PIPE).stdout
    return int(re.search(rf"^([0-9a-f]+) T {name}$", listed, re.MULTILINE).group(1), 16)


def base(pid, binary):
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith(str(Path(binary).resolve())):
            return int(line.split("-")[0], 16)
    raise LookupError(f"{pid} does not run {binary}")


def poke(pid, binary, function, what):
    """The next call of the function does what is said here."""
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(base(pid, binary) + symbol(binary, function))
        memory.write(bytes.fromhex(CODE[platform.machine()][what]))


def memory_of(pid):
    """All that can be read of a process's memory, a piece at a time."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split()
            if "r" not in rights or rest[-1] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
