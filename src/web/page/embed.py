"""Puts the page's files into the program as C arrays: embed.py OUT FILE…"""
import sys
from pathlib import Path

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

out, *files = sys.argv[1:]
text = ['#include "web/app.h"', ""]
rows = []
for number, name in enumerate(files):
    path = Path(name)
    data = path.read_bytes()
    text.append(f"static const unsigned char file_{number}[] = {{")
    text += ["    " + ",".join(str(b) for b in data[i:i + 24]) + ","
             for i in range(0, len(data), 24)]
    text.append("};")
    url = "/" if path.name == "index.html" else f"/{path.name}"
    rows.append(f'    {{"{url}", "{TYPES[path.suffix]}", (const char *)file_{number}, '
                f"sizeof file_{number}}},")
text += ["", "const struct page_file page_files[] = {", *rows, "    {0},", "};"]
Path(out).write_text("\n".join(text) + "\n")
