"""Turns a text file into a C string, so that the program carries it: embed.py NAME FILE HEADER OUT."""
import sys

name, source, header, out = sys.argv[1:]
with open(source, encoding="utf-8") as f:
    lines = f.read().splitlines()
with open(out, "w", encoding="utf-8") as f:
    f.write(f'#include "{header}"\n\nconst char {name}[] =\n')
    for line in lines:
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
        f.write(f'    "{escaped}\\n"\n')
    f.write("    ;\n")
