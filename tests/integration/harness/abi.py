"""Just enough of the contract ABI to call the demo contracts: static words, strings, and arrays of
words. Selectors come from the compiled artifacts, so that there is no Keccak here."""

WORD = 32


def word(value):
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int):
        return value.to_bytes(WORD, "big")
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:]).rjust(WORD, b"\0")
    raise TypeError(f"not a word: {value!r}")


def encode(arguments):
    heads, tails = [], []
    offset = WORD * len(arguments)
    for a in arguments:
        if isinstance(a, (list, tuple)):
            tail = word(len(a)) + b"".join(word(x) for x in a)
        elif isinstance(a, str) and not a.startswith("0x"):
            raw = a.encode()
            tail = word(len(raw)) + raw + b"\0" * (-len(raw) % WORD)
        else:
            heads.append(word(a))
            continue
        heads.append(word(offset + sum(map(len, tails))))
        tails.append(tail)
    return b"".join(heads) + b"".join(tails)


def call_data(selector, *arguments):
    return selector + encode(arguments).hex()


def decode_addresses(data):
    """An address[] as a view returns it."""
    raw = bytes.fromhex(data[2:])
    start = int.from_bytes(raw[:WORD], "big")
    count = int.from_bytes(raw[start:start + WORD], "big")
    first = start + WORD
    return ["0x" + raw[first + i * WORD + 12:first + (i + 1) * WORD].hex() for i in range(count)]
