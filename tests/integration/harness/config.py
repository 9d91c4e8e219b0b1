"""The daemon's YAML for the demo world. A test changes what it is about and leaves the rest."""

from .world import VIEWS

TABLE = "eth_wallet_balances"
CHECKPOINT = "audio_transfers"
BALANCE = "audio"

TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"
STAKING = ["Staked(address indexed user, uint256 amount, uint256 total)",
           "Unstaked(address indexed user, uint256 amount, uint256 total)",
           "Slashed(address indexed user, uint256 amount, uint256 total)"]
DELEGATION = [
    ("IncreaseDelegatedStake(address indexed delegator, address indexed serviceProvider, "
     "uint256 indexed amount)", ["delegator", "serviceProvider"]),
    ("UndelegateStakeRequestEvaluated(address indexed delegator, address indexed serviceProvider, "
     "uint256 indexed amount)", ["delegator", "serviceProvider"]),
    ("RemoveDelegatorRequestEvaluated(address indexed serviceProvider, address indexed delegator, "
     "uint256 indexed amount)", ["delegator", "serviceProvider"]),
    ("Claim(address indexed claimer, uint256 indexed rewards, uint256 indexed newTotal)",
     ["claimer", "getDelegatorsList(claimer)"]),
    ("Slash(address indexed target, uint256 indexed amount, uint256 indexed newTotal)",
     ["target", "getDelegatorsList(target)"]),
]
UPGRADED = "Upgraded(address indexed implementation)"


def triggers(world, fan_out=True, upgrades=True):
    """All that moves the demo world. Without fan_out, claims and slashes name only the provider."""
    found = [{"contract": world.token.address, "event": TRANSFER, "wallets": ["from", "to"]}]
    found += [{"contract": world.staking.address, "event": e, "wallets": ["user"]} for e in STAKING]
    for event, wallets in DELEGATION:
        if not fan_out:
            wallets = [w for w in wallets if "(" not in w]
        found.append({"contract": world.delegation.address, "event": event, "wallets": wallets})
    if upgrades:
        found += [{"contract": c.address, "event": UPGRADED, "wallets": "all"}
                  for c in (world.staking, world.delegation)]
    return found


def settings(world, node_url, store_url, *, wallets="seen", terms=tuple(VIEWS), fan_out=True,
             sweep=None, chain=None, balance=None, **more):
    """The whole file as a dict. `sweep`, `chain`, `balance` add to or replace what stands there."""
    return {
        "chain": {"endpoints": [{"name": "local", "url": node_url, "ws": "off"}], "freshness": "100ms",
                  **(chain or {})},
        "store": store_url,
        "balances": [{
            "name": BALANCE,
            "table": TABLE,
            "checkpoint": CHECKPOINT,
            "terms": [{"name": t, "contract": world.contracts[t].address, "view": VIEWS[t]}
                      for t in terms],
            "triggers": triggers(world, fan_out),
            "wallets": wallets,
            **(balance or {}),
        }],
        "sweep": {"interval": "200ms", **(sweep or {})},
        "http": {"listen": "off"},
        "log": {"level": "debug"},
        **more,
    }


def scalar(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def yaml(value, indent=0):
    """Dicts, lists and scalars as block YAML: all that a configuration file is made of."""
    pad = " " * indent
    lines = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                lines += [f"{pad}{key}:", yaml(item, indent + 2)]
            else:
                lines.append(f"{pad}{key}: {scalar(item)}")
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, (dict, list)):
                lines.append(f"{pad}- " + yaml(item, indent + 2).lstrip())
            else:
                lines.append(f"{pad}- {scalar(item)}")
    return "\n".join(lines)


def write(path, config):
    path.write_text(yaml(config) + "\n")
    return path
