"""`trueup read --prove`: what it proves, and every way in which an endpoint may be wrong and is not believed."""

import json
import random

import pytest
from harness import config as configs
from harness.gate import Gate, gates  # noqa: F401
from harness.world import REVERT, wallet

WALLETS = [wallet(700 + i) for i in range(8)]
BACK = 64
MISSING = {"code": -32601, "message": "the method eth_getProof does not exist/is not available"}
PRUNED = {"code": -32000, "message": "missing trie node 3f1a (path ) state 0x12 is not available"}


@pytest.fixture
def funded(chain, rng):
    world = chain.world
    world.mint_all(WALLETS, rng)
    world.staking.send("stakeMany", WALLETS[:4], [7] * 4)
    return world


@pytest.fixture
def asked(chain, trueup, tmp_path):
    """read --prove of these endpoints, or of the node itself."""
    def run(*words, behind=(), code=0):
        settings = configs.settings(chain.world, chain.anvil.url, f"sqlite:{tmp_path}/none.db")
        if behind:
            settings["chain"]["endpoints"] = [{"name": f"p{i}", "url": g.url, "ws": "off"}
                                              for i, g in enumerate(behind)]
        trueup.config = configs.write(tmp_path / "trueup.yaml", settings)
        return trueup.run("read", "--prove", *words, code=code)
    return run


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- what is proven ---------------------------------------------------------------------------------


def test_values_are_those_of_the_block(chain, funded, asked):
    chain.anvil.mine(BACK)
    then = chain.rpc.number() - BACK
    before = chain.truth.read(WALLETS, then)
    funded.token.send("mintMany", WALLETS, [5] * len(WALLETS))
    chain.anvil.mine(1)

    lines = objects(asked("--json", "--terms", "--at", then, *WALLETS))
    assert {line["wallet"]: int(line["value"]) for line in lines[:-1]} == before
    assert all(sum(int(v) for v in line["terms"].values()) == int(line["value"]) for line in lines[:-1])
    assert {line["block"] for line in lines[:-1]} == {then}
    proven = lines[-1]["proven"]
    assert (proven["block"], proven["hash"]) == (then, chain.rpc.block(then)["hash"])
    # Each round adds what one more step into the contracts needs: token and proxies, then what they call.
    assert 2 <= proven["rounds"] <= 6 and proven["requests"] <= 24

    text = asked("--at", then, WALLETS[0]).stdout.splitlines()
    assert text[0] == f"audio {WALLETS[0]} {before[WALLETS[0]]}"
    assert text[1].startswith(f"proven at block {then}, hash {proven['hash']}: ")


def test_the_block_is_64_back(chain, funded, asked):
    chain.anvil.mine(BACK + 3)
    assert objects(asked("--json", WALLETS[0]))[-1]["proven"]["block"] == chain.rpc.number() - BACK


def test_a_wallet_never_heard_of_is_proven_to_have_nothing(chain, funded, asked):
    assert f"{'0x' + '00' * 19 + '77'} 0\n" in asked("--at", chain.rpc.number(), "0x" + "00" * 19 + "77").stdout


def test_a_view_that_fails_is_proven_to_fail(chain, funded, asked):
    funded.mood([WALLETS[0]], REVERT)
    done = asked("--at", chain.rpc.number(), *WALLETS[:2], code=1)
    assert f"{WALLETS[0]} reverted\n" in done.stdout and "proven at block" in done.stdout
    assert "1 of 2 balances could not be read" in done.stderr


def test_what_cannot_be_proven_is_named(chain, funded, asked):
    """A view that writes."""
    number = chain.rpc.number()
    chain.rpc.call("anvil_setCode", funded.contracts["staked"].address, "0x60015f5560205ff3")
    chain.anvil.mine(1)
    done = asked("--json", "--at", number + 1, WALLETS[0], code=1)
    line = objects(done)[0]
    assert line["value"] is None and line["error"] == "cannot be proven: SSTORE"
    assert "1 of 1 balances could not be read" in done.stderr


# ---- what is not believed ---------------------------------------------------------------------------


def other_digit(text):
    """The same text but for its last hex digit."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def change_node(nodes, rng):
    at = rng.randrange(len(nodes))
    place = rng.randrange(2, len(nodes[at]))
    nodes[at] = nodes[at][:place] + ("0" if nodes[at][place] != "0" else "1") + nodes[at][place + 1:]


def slots_of(proof):
    return [s for s in proof["storageProof"] if s["proof"]]


def forge_value(proof, rng):
    """The leaf says one wei more, and so does the field: all else is as it was."""
    for slot in slots_of(proof):
        slot["proof"][-1] = other_digit(slot["proof"][-1])
        slot["value"] = hex(int(slot["value"], 16) + 1)


def drop_node(proof, rng):
    for slot in slots_of(proof):
        slot["proof"].pop(rng.randrange(len(slot["proof"])))


def add_node(proof, rng):
    for slot in slots_of(proof):
        slot["proof"].append(proof["accountProof"][0])


def reorder_nodes(proof, rng):
    proof["accountProof"].reverse()


def reorder_slots(proof, rng):
    proof["storageProof"].reverse()


def leave_out_key(proof, rng):
    proof["storageProof"] = proof["storageProof"][1:]


def no_nodes(proof, rng):
    for slot in proof["storageProof"]:
        slot["proof"] = []
        slot["value"] = "0x0"


def forge_account(proof, rng):
    change_node(proof["accountProof"], rng)


def forge_slot(proof, rng):
    for slot in slots_of(proof):
        change_node(slot["proof"], rng)


FORGERIES = (forge_value, drop_node, add_node, reorder_nodes, reorder_slots, leave_out_key, no_nodes, forge_account,
             forge_slot)


def bend_proof(forge, rng):
    def bend(rpc, answer):
        if rpc["method"] == "eth_getProof" and "result" in answer:
            before = json.dumps(answer["result"])
            forge(answer["result"], rng)
            return answer if json.dumps(answer["result"]) != before else None
        return None
    return bend


def fields_alone(rpc, answer):
    """Every value beside the proofs is false: none is read."""
    if rpc["method"] != "eth_getProof" or "result" not in answer:
        return None
    proof = answer["result"]
    proof.update(balance="0x123", nonce="0x9", codeHash="0x" + "11" * 32, storageHash="0x" + "22" * 32)
    for slot in proof["storageProof"]:
        slot["value"] = hex(int(slot["value"], 16) + 1)
    return answer


def test_no_field_beside_a_proof_is_read(chain, funded, asked, gates):  # noqa: F811
    now = chain.rpc.number()
    right = asked("--at", now, *WALLETS).stdout.splitlines()[:-1]
    gates[0].bend = fields_alone
    assert asked("--at", now, *WALLETS, behind=gates[:1]).stdout.splitlines()[:-1] == right
    assert gates[0].played > 0


@pytest.mark.parametrize("forge", FORGERIES)
def test_forged_proofs(chain, funded, asked, gates, rng, forge):  # noqa: F811
    now = chain.rpc.number()
    gates[0].bend = bend_proof(forge, rng)
    done = asked("--at", now, *WALLETS, behind=gates[:1], code=1)
    assert done.stdout == "" and gates[0].played > 0
    assert f"cannot be proven at block {now}" in done.stderr and 'endpoint "p0": eth_getProof of 0x' in done.stderr


def test_an_account_proof_of_another_root(chain, funded, asked, gates):  # noqa: F811
    """Whole and true, but of the block before: the balance was another one then."""
    before = chain.rpc.number()
    funded.token.send("mintMany", WALLETS, [5] * len(WALLETS))

    def older(rpc):
        if rpc["method"] == "eth_getProof":
            rpc["params"][2] = hex(before)
        return rpc
    gates[0].before = older
    done = asked("--at", before + 1, *WALLETS, behind=gates[:1], code=1)
    assert done.stdout == "" and "cannot be proven at block" in done.stderr


def test_another_contracts_code(chain, funded, asked, gates):  # noqa: F811
    def bend(rpc, answer):
        if rpc["method"] != "eth_getCode":
            return None
        return {**answer, "result": "0x6103e85f5260205ff3"}  # a balance of 1,000 for everybody
    gates[0].bend = bend
    done = asked("--at", chain.rpc.number(), WALLETS[0], behind=gates[:1], code=1)
    assert done.stdout == "" and "the code is not the one of the account's code hash" in done.stderr


@pytest.mark.parametrize("field", ("stateRoot", "timestamp", "number", "parentHash", "hash"))
def test_forged_headers(chain, funded, asked, gates, field):  # noqa: F811
    now = chain.rpc.number()

    def bend(rpc, answer):
        if rpc["method"] == "eth_getBlockByNumber" and rpc["params"][0] == hex(now):
            answer["result"][field] = other_digit(answer["result"][field])
            return answer
        return None
    gates[0].bend = bend
    done = asked("--at", now, WALLETS[0], behind=gates[:1], code=1)
    assert done.stdout == "" and f"block {now} cannot be proven" in done.stderr and gates[0].played > 0


@pytest.mark.parametrize("error, words", ((MISSING, "has no eth_getProof"), (PRUNED, "has pruned the state of block")))
def test_what_an_endpoint_does_not_serve_is_named(chain, funded, asked, gates, error, words):  # noqa: F811
    gates[0].bend = lambda rpc, answer: ({"jsonrpc": "2.0", "id": rpc["id"], "error": error}
                                         if rpc["method"] == "eth_getProof" else None)
    done = asked("--at", chain.rpc.number(), WALLETS[0], behind=gates[:1], code=1)
    assert words in done.stderr and "hint: " in done.stderr and done.stdout == ""


def test_another_endpoint_proves_what_the_first_does_not(chain, funded, asked, gates):  # noqa: F811
    now = chain.rpc.number()
    right = asked("--at", now, *WALLETS).stdout.splitlines()[:-1]
    gates[0].bend = bend_proof(forge_value, random.Random(1))
    assert asked("--at", now, *WALLETS, behind=gates).stdout.splitlines()[:-1] == right
    assert gates[0].played > 0 and gates[1].asked["eth_getProof"] > 0
