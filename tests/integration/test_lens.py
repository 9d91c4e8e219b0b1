"""The readers that need no contract on the chain, each against a real node: what they answer is what
plain calls answer, whatever the views do, and no amount of gas turns into a wrong number."""

import json
import os

import pytest

from harness import world as w
from harness.abi import word
from harness.anvil import Anvil
from harness.daemon import ROOT
from harness.lens import TERM_GAS, Lens
from harness.rpc import RpcError
from harness.truth import Truth
from harness.world import TERMS, VIEWS, World, wallet

LENS_READERS = ("override", "create", "create-revert")
LIMIT = 2 ** 256


def terms_of(world, gas=TERM_GAS):
    return [(world.contracts[t].address, world.contracts[t].selector(VIEWS[t]), gas) for t in TERMS]


@pytest.fixture
def lens(chain):
    with Lens(chain.rpc, terms_of(chain.world)) as opened:
        yield opened


def populate(world, rng, count, first=0):
    wallets = [wallet(i) for i in range(first, first + count)]
    world.mint_all(wallets, rng)
    world.traffic(wallets, wallets[:5], rng, count)
    return wallets


def sums(result):
    return {i: int(value) for i, (status, _, value) in enumerate(result.cells) if status == "ok"}


def assert_equal_to(truth, wallets, result):
    assert result.answered == len(wallets)
    assert [(status, int(value)) for status, _, value in result.cells] == [
        ("ok", truth[x]) for x in wallets]


def assert_proves(result, block, chain_id):
    proof = result.proof
    assert proof.present
    assert (proof.number, proof.parent, proof.timestamp, proof.chain_id) == (
        int(block["number"], 16), block["parentHash"], int(block["timestamp"], 16), chain_id)


@pytest.mark.parametrize("reader", LENS_READERS)
def test_reads_the_truth_and_proves_its_block(chain, lens, rng, reader):
    wallets = populate(chain.world, rng, 600)
    truth = chain.truth.read(wallets)
    assert sum(v > 0 for v in truth.values()) > 500
    result = lens.read(reader, wallets)
    assert_equal_to(truth, wallets, result)
    assert_proves(result, chain.rpc.block(), chain.anvil.chain_id)


@pytest.mark.parametrize("reader", LENS_READERS)
def test_reads_a_block_of_the_past_by_its_hash(chain, lens, rng, reader):
    wallets = populate(chain.world, rng, 50)
    block, truth = chain.rpc.block(), chain.truth.read(wallets)
    chain.world.silent(wallets, rng)
    pin = json.dumps({"blockHash": block["hash"]}, separators=(",", ":"))
    result = lens.read(reader, wallets, block=pin)
    assert_equal_to(truth, wallets, result)
    assert_proves(result, block, chain.anvil.chain_id)
    with pytest.raises(RpcError):
        lens.read(reader, wallets, block=pin.replace(block["hash"], "0x" + "12" * 32))


def test_all_readers_say_the_same(chain, lens, rng):
    wallets = populate(chain.world, rng, 100)
    for i, (kind, number) in enumerate([(w.SHORT, 0), (w.LONG, 0), (w.EMPTY, 0), (w.REVERT, 0),
                                        (w.REASON, 0), (w.BOMB, 33), (w.SWALLOW, 100_000)]):
        chain.world.mood(wallets[i:i + 1], kind, number, TERMS[i % 3])
    chain.world.mood(wallets[9:10], w.HUGE)
    chain.world.staking.send("silentSet", wallets[9], 1)
    found = {r: lens.read_all(r, wallets) for r in (*LENS_READERS, "multicall3")}
    for reader, result in found.items():
        assert_proves(result, chain.rpc.block(), chain.anvil.chain_id)
        assert result.cells[9][0] == "overflow"
        for i, (status, blamed, value) in enumerate(result.cells):
            want = found["override"].cells[i]
            assert i == 9 or [status, blamed] == want[:2], f"{reader}, wallet {i}"
            assert status != "ok" or value == want[2], f"{reader}, wallet {i}"
    statuses = [c[0] for c in found["override"].cells]
    assert statuses[:7] == ["bad length", "bad length", "empty", "reverted", "reverted",
                            "bad length", "ok"]
    assert statuses[10:] == ["ok"] * 90


@pytest.mark.parametrize("reader", LENS_READERS)
def test_no_wallets_are_a_question_too(chain, lens, reader):
    result = lens.read(reader, [])
    assert result.answered == 0 and result.cells == []
    assert_proves(result, chain.rpc.block(), chain.anvil.chain_id)


def test_single_reads_one_term_of_one_wallet(chain, lens, rng):
    wallets = populate(chain.world, rng, 8)
    for x in wallets:
        parts = [lens.read("single", [x], first=t, n_terms=1).cells[0] for t in range(3)]
        assert all(p[0] == "ok" for p in parts)
        assert sum(int(p[2]) for p in parts) == chain.truth.read([x])[x]
    chain.world.mood(wallets[:1], w.EMPTY)
    chain.world.mood(wallets[1:2], w.SHORT)
    chain.world.mood(wallets[2:3], w.LONG)
    statuses = [lens.read("single", [x], first=0, n_terms=1).cells[0][:2] for x in wallets[:3]]
    assert statuses == [["empty", 0], ["bad length", 0], ["bad length", 0]]
    # A provider that answers a revert as if it were a value.
    reason = "08c379a0" + word(32).hex() + word(2).hex() + "6e6f".ljust(64, "0")
    assert lens.decode("single", wallets[:1], reason, first=1, n_terms=1).cells == [
        ["reverted", 1, "0"]]


def test_a_term_range_reads_only_that(chain, lens, rng):
    wallets = populate(chain.world, rng, 20)
    for first, count in ((0, 1), (1, 1), (2, 1), (0, 2), (1, 2)):
        truth = Truth(chain.world, TERMS[first:first + count]).read(wallets)
        assert_equal_to(truth, wallets, lens.read("override", wallets, first=first, n_terms=count))


# (mood, number, status in a crowd, status alone, value alone): per wallet and term. A failure in a
# crowd had the term's limit, no more: whoever drives the readers looks again.
MOODS = [
    (w.CALM, 0, "ok", "ok", None),
    (w.REVERT, 0, "reverted", "reverted", None),
    (w.REASON, 0, "reverted", "reverted", None),
    (w.BURN, 0, "suspect", "suspect", None),  # alone and still suspect is out of gas
    (w.SWALLOW, 100_000, "ok", "ok", 7),
    (w.SWALLOW, 900_000, "ok", "ok", 7),
    (w.SWALLOW, 1_500_000, "suspect", "ok", 7),  # right, but only a second look can know
    (w.SWALLOW, 5_000_000, "suspect", "ok", 7),  # 0 and success in the crowd
    (w.SWALLOW, 60_000_000, "suspect", "suspect", None),  # 0 and success even alone
    (w.SHORT, 0, "bad length", "bad length", None),
    (w.LONG, 0, "bad length", "bad length", None),
    (w.EMPTY, 0, "empty", "empty", None),
    (w.BOMB, 33, "bad length", "bad length", None),
    (w.BOMB, 200_000, "bad length", "bad length", None),
    (w.BOMB, 32, "ok", "ok", None),  # one word of whatever its memory holds: a value
    (w.BOMB, 1_000_000, "suspect", "bad length", None),
    (w.REVERT_BOMB, 32, "reverted", "reverted", None),
    (w.REVERT_BOMB, 200_000, "reverted", "reverted", None),
    (w.HUGE, 0, "overflow", "overflow", None),
]


@pytest.mark.parametrize("term", range(3))
@pytest.mark.parametrize("reader", LENS_READERS)
def test_bad_wallets_harm_nobody_else(chain, lens, rng, reader, term):
    wallets = populate(chain.world, rng, 3 * len(MOODS))
    other = TERMS[(term + 1) % 3]
    for i, (kind, number, *_) in enumerate(MOODS):
        chain.world.mood(wallets[3 * i + 1:3 * i + 2], kind, number, TERMS[term])
        # So that a huge answer overflows the sum, whichever term gives it.
        contract = chain.world.contracts[other]
        contract.send("silentSet", wallets[3 * i + 1], 1000 + i)
    truth = chain.truth.read(wallets)
    rest = [sum(Truth(chain.world, [t]).read([x])[x] for t in TERMS if t != TERMS[term])
            for x in wallets[1::3]]
    result = lens.read_all(reader, wallets)
    assert result.answered == len(wallets)
    for i, (kind, number, crowd, alone, value) in enumerate(MOODS):
        what = f"mood {kind} with {number}"
        for good in (3 * i, 3 * i + 2):
            status, failed, found = result.cells[good]
            assert (status, failed, int(found)) == ("ok", -1, truth[wallets[good]]), what
        blamed = -1 if crowd in ("ok", "overflow") else term
        assert result.cells[3 * i + 1][:2] == [crowd, blamed], what
        again = lens.read(reader, [wallets[3 * i + 1]], alone=True).cells[0]
        blamed = -1 if alone in ("ok", "overflow") else term
        assert again[:2] == [alone, blamed], what
        for status, _, found in (result.cells[3 * i + 1], again):
            if status == "ok":
                want = truth[wallets[3 * i + 1]] if value is None else rest[i] + value
                assert int(found) == want, what


@pytest.mark.parametrize("reader", LENS_READERS)
def test_a_second_look_at_many(chain, lens, rng, reader):
    """What fails cheaply is finalized many at a time; what is heavy is by itself, or stays open."""
    wallets = populate(chain.world, rng, 200)
    chain.world.mood(wallets[:150], w.REVERT)
    chain.world.mood(wallets[150:160], w.SWALLOW, 5_000_000)
    chain.world.mood(wallets[160:162], w.BURN)
    rest = [sum(Truth(chain.world, [t]).read([x])[x] for t in TERMS[1:]) for x in wallets]
    result = lens.read_all(reader, wallets[:170], alone=True)
    assert [c[0] for c in result.cells[:150]] == ["reverted"] * 150
    assert {c[0] for c in result.cells[150:160]} <= {"ok", "suspect"}
    assert result.cells[150][0] == "ok"
    assert [c[0] for c in result.cells[160:162]] == ["suspect"] * 2
    assert {c[0] for c in result.cells[162:]} <= {"ok", "suspect"}
    for i in range(150, 160):
        assert result.cells[i][0] != "ok" or int(result.cells[i][2]) == rest[i] + 7
        assert int(lens.read(reader, [wallets[i]], alone=True).cells[0][2]) == rest[i] + 7


def test_bad_wallets_at_any_place(chain, rng):
    """Any mixture of sums and notes."""
    with Lens(chain.rpc, set_views(chain.rpc, [ODD_REVERTS])) as lens:
        wallets = [f"0x{rng.getrandbits(160):040x}" for _ in range(700)]
        result = lens.read("override", wallets)
        assert [c[0] for c in result.cells] == [
            "reverted" if int(x, 16) % 2 else "ok" for x in wallets]
        assert all(int(c[2]) == int(x, 16) for c, x in zip(result.cells, wallets) if c[0] == "ok")
        odd = [x for x in wallets if int(x, 16) % 2]
        assert [c[0] for c in lens.read("override", odd).cells] == ["reverted"] * len(odd)


# ---- hand-made views: what each costs and says is known to the last byte ---------------------------

# The wallet as a number, but a revert if it is odd.
ODD_REVERTS = "600435" + "600116" + "6014" + "57" + "600435" + "600052" + "60206000f3" + "5b600080fd"


def set_views(rpc, codes):
    """Puts each code at an address of its own; returns the terms."""
    found = []
    for i, code in enumerate(codes):
        at = f"0x{0xc0de0000 + i:040x}"
        rpc.call("anvil_setCode", at, "0x" + code)
        found.append((at, f"0x{0xa0b0c0d0 + i:08x}", TERM_GAS))
    return found


def adds(constant):
    """wallet + constant"""
    return "600435" + "7f" + word(constant).hex() + "01" + "60005260206000f3"


# The call data as the view sees it: its first 31 bytes, and its length added.
SEES = "60003560081c" + "3601" + "60005260206000f3"


@pytest.mark.parametrize("count", range(1, 17))
def test_one_to_sixteen_terms(chain, rng, count):
    constants = [rng.getrandbits(200) for _ in range(count)]
    terms = set_views(chain.rpc, [adds(c) for c in constants])
    wallets = [f"0x{rng.getrandbits(160):040x}" for _ in range(40)]
    want = {x: count * int(x, 16) + sum(constants) for x in wallets}
    with Lens(chain.rpc, terms) as lens:
        for reader in LENS_READERS:
            assert_equal_to(want, wallets, lens.read_all(reader, wallets))


@pytest.mark.parametrize("count", (2, 3, 16))
def test_a_sum_of_256_bits_is_right_and_one_more_is_none(chain, rng, count):
    """The carry may come at any of the additions."""
    target = f"0x{1:040x}"
    for at in range(1, count):
        constants = [rng.getrandbits(64) for _ in range(count)]
        below = sum(constants[:at]) + at
        constants[at] = LIMIT - 1 - 1 - below  # the sum so far is 2^256 - 1
        for i in range(at + 1, count):
            constants[i] = LIMIT - 1  # plus the wallet, 1: adds nothing
        for extra, status in ((0, "ok"), (1, "overflow")):
            constants[0] += extra
            terms = set_views(chain.rpc, [adds(c) for c in constants])
            with Lens(chain.rpc, terms) as lens:
                cell = lens.read("override", [target]).cells[0]
                assert cell[:2] == [status, -1]
                assert int(cell[2]) == (0 if extra else LIMIT - 1)


def test_a_view_gets_exactly_its_call_data(chain, rng):
    terms = set_views(chain.rpc, [SEES])
    wallets = [f"0x{rng.getrandbits(160):040x}" for _ in range(5)] + ["0x" + "ff" * 20]
    for anchor in ("evm", "arbsys", "none"):
        chain.rpc.call("anvil_setCode", ARBSYS, "0x" + ARBSYS_CODE)
        with Lens(chain.rpc, terms, anchor) as lens:
            for reader in LENS_READERS:
                result = lens.read(reader, wallets)
                for (status, _, value), x in zip(result.cells, wallets):
                    data = terms[0][1][2:] + x[2:].rjust(64, "0")
                    assert (status, int(value)) == ("ok", int(data[:62], 16) + 36)


ARBSYS = f"0x{0x64:040x}"
# arbBlockNumber() is 777; arbBlockHash(n) is n * 3.
ARBSYS_CODE = "3660041460155760043560030260005260206000f35b61030960005260206000f3"


def test_where_the_chain_keeps_its_own_number(chain, rng):
    terms = set_views(chain.rpc, [adds(5)])
    wallets = [f"0x{rng.getrandbits(160):040x}" for _ in range(3)]
    want = {x: int(x, 16) + 5 for x in wallets}
    with Lens(chain.rpc, terms, "arbsys") as lens:
        result = lens.read("override", wallets)
        assert_equal_to(want, wallets, result)
        assert result.proof.number == 0 and int(result.proof.parent, 16) == 0  # proves nothing
        chain.rpc.call("anvil_setCode", ARBSYS, "0x" + ARBSYS_CODE)
        for reader in LENS_READERS:
            result = lens.read(reader, wallets)
            assert_equal_to(want, wallets, result)
            assert result.proof.present and result.proof.number == 777
            assert int(result.proof.parent, 16) == 776 * 3
        lens.link(700)
        for reader in LENS_READERS:
            result = lens.read(reader, wallets)
            assert_equal_to(want, wallets, result)
            assert int(result.link, 16) == 700 * 3
    with Lens(chain.rpc, terms, "none") as lens:
        result = lens.read("override", wallets)
        assert_equal_to(want, wallets, result)
        assert not result.proof.present


# ---- gas ------------------------------------------------------------------------------------------

def hungry_view(appetite):
    """Burns about `appetite` gas in a call to itself and answers 7; 0, with success, where that ran
    out. By hand, so that it costs next to nothing else."""
    body = bytearray()

    def emit(*parts):
        for p in parts:
            body.extend(bytes.fromhex(p))

    emit("36", "15", "6000", "57")  # if no call data: jump to the inner part
    fix_inner = 3
    emit("6000", "6000", "6000", "6000", "30", "5a", "fa")  # staticcall(gas, self, nothing)
    emit("6007", "02", "6000", "52", "6020", "6000", "f3")  # 7 * success
    inner = len(body)
    emit("5b", "5a")  # start
    loop = len(body)
    emit("5b", "5a", "81", "03")  # start - gas
    emit("62" + f"{appetite:06x}", "11")  # appetite > burnt
    emit("60" + f"{loop:02x}", "57", "00")
    body[fix_inner] = inner
    return bytes(body).hex()


APPETITES = (2_000, 20_000, 60_000, 150_000)
SMALL = 100_000  # the terms' limit: two of the appetites fit half of it


def starving(chain):
    terms = set_views(chain.rpc, [hungry_view(a) for a in APPETITES])
    return [(at, selector, SMALL) for at, selector, _ in terms]


def read_or_none(lens, reader, wallets, **more):
    try:
        return lens.read(reader, wallets, **more)
    except RpcError:
        return None  # not even the program could run: no number either


@pytest.mark.parametrize("reader", LENS_READERS)
def test_no_gas_limit_makes_a_number_wrong(chain, rng, reader):
    """Every view answers 7 given enough and 0, with success, given less."""
    wallets = [wallet(i) for i in range(6)]
    gases = sorted({*range(21_000, 400_000, 1_777), *(int(21_000 * 1.05 ** i) for i in range(120)),
                    *(rng.randrange(21_000, 1_500_000) for _ in range(60))})
    seen = set()
    with Lens(chain.rpc, starving(chain)) as lens:
        for gas in gases:
            for first, count in ((0, 1), (0, 2), (2, 1), (3, 1)):
                result = read_or_none(lens, reader, wallets, gas=gas, first=first, n_terms=count)
                for status, _, value in result.cells if result else ():
                    assert status != "ok" or int(value) == 7 * count, f"gas {gas}, term {first}"
                    seen.add((first, count, status))
                result = read_or_none(lens, reader, wallets[:1], gas=gas, first=first,
                                      n_terms=count, alone=True)
                for status, _, value in result.cells if result else ():
                    assert status != "ok" or int(value) == 7 * count, f"gas {gas}, alone {first}"
                    seen.add((first, count, "alone " + status))
    # With enough there is an answer, and the rule of half is what stands between 0 and a number.
    assert {(0, 1, "ok"), (0, 2, "ok"), (2, 1, "suspect"), (3, 1, "suspect"), (2, 1, "alone ok"),
            (3, 1, "alone ok")} <= seen
    # A creation keeps gas for its deposit, and with little more than that does not begin.
    assert (3, 1, "alone suspect") in seen or reader == "create"
    assert (2, 1, "ok") not in seen and (3, 1, "ok") not in seen


def read_with_less(lens, reader, wallets, gas, **more):
    """The same program, sent with less gas than it was made for."""
    params = lens.params(reader, wallets, **more)
    params[0]["gas"] = hex(gas)
    return lens.decode(reader, wallets, lens.send(reader, params), **more)


@pytest.mark.parametrize("reader", LENS_READERS)
def test_a_view_is_given_all_of_its_limit_or_is_not_called(chain, rng, reader):
    """The view answers with the gas it finds: around the least that a node may be asked with, where
    63/64 of what is left, or the price of a cold account, could take a bit of it."""
    gas_found = "5a" + "600052" + "60206000f3"
    terms = set_views(chain.rpc, [gas_found])
    asked = set()
    with Lens(chain.rpc, terms) as lens:
        for gas in range(TERM_GAS, 2_260_000, 997 if reader == "override" else 2_999):
            result = read_with_less(lens, reader, ["0x" + "11" * 20], gas - rng.randrange(997))
            asked.add(result.answered)
            for status, _, value in result.cells:
                assert (status, int(value)) == ("ok", TERM_GAS - 2), f"gas {gas}"
    assert asked == {0, 1}


def test_a_limit_suits_the_crowd(chain, rng):
    """A view is given its limit, or in a crowd 32 times its share of the gas: never too little for
    what the chunk's size says of its price."""
    gas_found = "5a" + "600052" + "60206000f3"
    with Lens(chain.rpc, set_views(chain.rpc, [gas_found])) as lens:
        for gas, count, want in ((50_000_000, 1, TERM_GAS), (50_000_000, 500, TERM_GAS),
                                 (50_000_000, 1000, 1_600_000), (50_000_000, 20_000, 250_000),
                                 (2 ** 24, 100, TERM_GAS), (2 ** 24, 3000, 250_000),
                                 (10_000_000, 3000, 156_250), (1_000_000, 1, 250_000),
                                 (1_000_000, 500, 100_000)):
            wallets = [f"0x{i:040x}" for i in range(count)]
            cells = lens.read("override", wallets, gas=gas).cells
            assert {int(c[2]) for c in cells} == {want - 2}, f"{count} wallets, gas {gas}"


def test_dear_views_are_no_suspects(chain):
    """Views of 200,000 gas, with as many wallets as fit, and with ten times as many."""
    at, selector, _ = set_views(chain.rpc, [hungry_view(200_000)])[0]
    for gas, count in ((50_000_000, 220), (50_000_000, 2200), (2 ** 24, 70), (2 ** 24, 700)):
        with Lens(chain.rpc, [(at, selector, TERM_GAS)]) as lens:
            result = lens.read("override", [wallet(i) for i in range(count)], gas=gas)
        assert {(c[0], c[2]) for c in result.cells} == {("ok", "7")}
        assert result.answered * 200_000 > gas * 0.8


def test_burners_cost_the_crowd_little(chain, lens, rng):
    wallets = [wallet(i) for i in range(1000)]
    chain.world.mint_all(wallets, rng)
    burners = set(rng.sample(range(1000), 40))
    chain.world.mood([wallets[i] for i in burners], w.BURN)
    result = lens.read("override", wallets)
    assert result.answered == 1000
    assert {i for i, c in enumerate(result.cells) if c[0] == "suspect"} == burners


def test_the_view_is_one_that_would_lie(chain):
    """The trap of the test above is a trap: a plain call with little gas says 0, and success."""
    at, selector, _ = starving(chain)[2]
    data = selector + word(1).hex()
    answers = {int(chain.rpc.call("eth_call", {"to": at, "data": data, "gas": hex(g)}, "latest"), 16)
               for g in (40_000, 60_000, 200_000)}
    assert answers == {0, 7}


@pytest.mark.parametrize("reader", LENS_READERS)
def test_runs_out_and_says_how_far_it_came(chain, lens, rng, reader):
    """Asked again from where it stopped, it reads all."""
    wallets = populate(chain.world, rng, 300)
    truth = chain.truth.read(wallets)
    left, rounds = wallets, 0
    while left:
        result = lens.read(reader, left, gas=4_500_000)
        assert result.answered > 0
        assert {left[i]: v for i, v in sums(result).items()} == {
            x: truth[x] for x in left[:result.answered]}
        left, rounds = left[result.answered:], rounds + 1
    assert rounds > 1


@pytest.mark.parametrize("reader", LENS_READERS)
def test_says_what_it_used(chain, lens, rng, reader):
    """Packing counts with it: within 3 % of what the node really needs, found by giving less."""
    wallets = populate(chain.world, rng, 200)
    used = lens.read(reader, wallets).gas_used
    assert 200 * 10_000 < used < 200 * 30_000
    free = TERM_GAS * 64 // 63 + 10_000  # what must be there for the last call
    if reader == "create":
        free += 200 * 64 * (200 // 8 + 16)  # and for storing notes, had there been any
    assert read_with_less(lens, reader, wallets, int(used * 1.01) + free).answered == 200
    assert read_with_less(lens, reader, wallets, int(used * 0.97) + free).answered < 200


@pytest.mark.parametrize("reader", LENS_READERS)
def test_says_what_it_was_granted(chain, lens, rng, reader):
    """A node may lower in silence what is asked: only the execution knows. Never less than granted,
    and at most 1 % more."""
    wallets = populate(chain.world, rng, 300)
    for gas in (10_000_000, 20_000_000, 50_000_000):
        granted = read_with_less(lens, reader, wallets, gas).gas_granted
        assert gas <= granted < gas * 1.01


def test_overhead_of_the_program(chain):
    """Gas per wallet and term beyond the view itself and what any call costs."""
    # PUSH1, CALLDATALOAD; PUSH1, MSTORE, a word of memory, and another; PUSH1, PUSH1, RETURN.
    view = "600435" + "600052" + "60206000f3"
    own = 6 + 9 + 6
    for count in (1, 3, 16):
        terms = set_views(chain.rpc, [view] * count)
        with Lens(chain.rpc, terms) as lens:
            wallets = [f"0x{i:040x}" for i in range(2000)]
            used = [lens.read("override", wallets[:n]).gas_used for n in (200, 1000)]
            per_wallet = (used[1] - used[0]) / 800 - 320  # call data
            overhead = per_wallet - count * (100 + own)
            print(f"{count} terms: {per_wallet:.1f} gas a wallet, {overhead:.1f} of its own")
            assert overhead < 100 + 140 * count


def test_bytes_per_wallet(chain, lens, rng):
    """Both ways, as JSON, without HTTP headers: at the size that fits 50 M gas."""
    wallets = [wallet(i) for i in range(2500)]
    params = lens.params("override", wallets)
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params},
                         separators=(",", ":"))
    reply = lens.send("override", params)
    total = len(request) + len(reply) + 40
    print(f"{total / len(wallets):.2f} bytes a wallet at {len(wallets)}")
    assert total / len(wallets) < 73.2


# ---- sizes, addresses, nodes ----------------------------------------------------------------------

def test_a_creation_has_room(chain, rng):
    """As many wallets as the readers say they take at most."""
    terms = set_views(chain.rpc, [adds(1)])
    wallets = [f"0x{rng.getrandbits(160):040x}" for _ in range(2336)]
    small = [f"0x{i:040x}" for i in range(1400)]
    with Lens(chain.rpc, terms) as lens:
        assert_equal_to({x: int(x, 16) + 1 for x in small}, small, lens.read("create", small))
        assert_equal_to({x: int(x, 16) + 1 for x in wallets}, wallets,
                        lens.read("create-revert", wallets))


def test_a_creation_stops_before_its_reply_is_too_large(chain, rng):
    """Sums of more than 128 bits and failures take more room: fewer wallets are answered."""
    terms = set_views(chain.rpc, [ODD_REVERTS])
    wallets = [f"0x{rng.getrandbits(160) | 1 << 159:040x}" for _ in range(1400)]
    with Lens(chain.rpc, terms) as lens:
        result = lens.read_all("create", wallets)
        assert result.rounds > 1
        assert [(c[0], int(c[2])) for c in result.cells] == [
            ("reverted", 0) if int(x, 16) % 2 else ("ok", int(x, 16)) for x in wallets]


@pytest.mark.parametrize("reader", LENS_READERS)
def test_sums_of_every_width(chain, reader):
    """Up to 128 bits they stand in their places, above they follow: the seam is at 2^128."""
    values = [0, 1, 2 ** 64 - 1, 2 ** 64, 2 ** 127, 2 ** 128 - 1, 2 ** 128, 2 ** 128 + 1, 2 ** 192,
              2 ** 255, LIMIT - 1]
    for value in values:
        terms = set_views(chain.rpc, [adds(value), adds(0)])
        wallets = [f"0x{n:040x}" for n in (0, 1, 0, 7)]
        with Lens(chain.rpc, terms) as lens:
            cells = lens.read_all(reader, wallets).cells
        for (status, _, found), n in zip(cells, (0, 1, 0, 7)):
            want = (value + n) % LIMIT + n
            # The first view wraps by itself; only the sum of both is ours.
            assert (status, int(found)) == (("ok", want) if want < LIMIT else ("overflow", 0))


def test_moves_away_from_a_wallet_at_its_address(chain, rng):
    """Anybody can send a token to the address of the program."""
    with Lens(chain.rpc, terms_of(chain.world)) as lens:
        at = [lens.ask(f"address {i}") for i in range(3)]
        chain.world.mint_all(at, rng)
        truth = chain.truth.read(at)
        for wallets, used in (([], at[0]), (at[:1], at[1]), (at[1:2], at[0]), (at[:2], at[2])):
            params = lens.params("override", wallets)
            assert params[0]["to"] == used and list(params[2]) == [used]
            assert_equal_to(truth, wallets, lens.read("override", wallets))
    with Lens(chain.rpc, [(at[0], "0x70a08231", TERM_GAS)]) as lens:
        assert lens.params("override", [])[0]["to"] == at[1]


def test_a_node_without_overrides_is_told_from_an_answer(chain, lens):
    params = lens.params("override", [wallet(1)])
    reply = chain.rpc.call("eth_call", *params[:2])
    assert reply == "0x"
    assert "ignores state overrides" in lens.decode("override", [wallet(1)], "-").error


def test_garbage_is_refused(lens):
    for reply in ("00", "08c379a0" + "00" * 64, "00" * 224, "ff" * 300):
        assert vars(lens.decode("override", [wallet(1)], reply)) == {"misplaced": True}
    for reply in ("00" * 300, "00" * 380):  # with the nonce, which is zero here
        assert lens.decode("override", [wallet(1)], reply).error


@pytest.mark.parametrize("hardfork", ("cancun", "prague", "osaka"))
def test_every_recent_hardfork(tmp_path, rng, hardfork):
    anvil = Anvil(tmp_path / "anvil", hardfork=hardfork).start()
    try:
        world = World(anvil.rpc).deploy()
        wallets = populate(world, rng, 100)
        world.mood(wallets[3:4], w.SWALLOW, 5_000_000)
        truth = Truth(world).read(wallets)
        with Lens(anvil.rpc, terms_of(world)) as lens:
            for reader in LENS_READERS:
                result = lens.read(reader, wallets)
                assert_proves(result, anvil.rpc.block(), anvil.chain_id)
                assert result.cells[3][:2] == ["suspect", 0]
                good = [i for i in range(100) if i != 3]
                assert sums(result) == {i: truth[wallets[i]] for i in good}
                assert int(lens.read(reader, wallets[3:4], alone=True).cells[0][2]) == truth[wallets[3]]
    finally:
        anvil.stop()


# ---- whose answer it is ---------------------------------------------------------------------------

NONCED = (*LENS_READERS, "multicall3")


@pytest.mark.parametrize("reader", NONCED)
def test_an_answer_to_another_request_is_seen(chain, lens, rng, reader):
    """The same wallets at the same block, even: only the nonce differs."""
    wallets = populate(chain.world, rng, 20)
    lens.nonce(0x11)
    first = lens.send(reader, lens.params(reader, wallets))
    assert lens.decode(reader, wallets, first).answered == 20
    lens.nonce(0x22)
    assert vars(lens.decode(reader, wallets, first)) == {"misplaced": True}
    assert vars(lens.decode(reader, wallets[:10], first)) == {"misplaced": True}
    second = lens.send(reader, lens.params(reader, wallets))
    assert second.count("22" * 16) > first.count("22" * 16)
    assert_equal_to(chain.truth.read(wallets), wallets, lens.decode(reader, wallets, second))
    for other in NONCED:
        if other != reader:
            reply = lens.send(other, lens.params(other, wallets))
            assert other in LENS_READERS and reader in LENS_READERS or (
                vars(lens.decode(reader, wallets, reply)) == {"misplaced": True})


def test_both_echoes_of_multicall3_count(chain, lens, rng):
    wallets = populate(chain.world, rng, 3)
    lens.nonce(0x33)
    reply = lens.send("multicall3", lens.params("multicall3", wallets))
    assert reply.count("33" * 16) == 2
    for change in (reply.replace("33" * 16, "34" * 16, 1),
                   "34".join(reply.rsplit("33", 1))):
        assert vars(lens.decode("multicall3", wallets, change)) == {"misplaced": True}


@pytest.mark.parametrize("reader", NONCED)
def test_the_hash_of_an_earlier_block(chain, lens, rng, reader):
    wallets = populate(chain.world, rng, 5)
    chain.anvil.mine(12)
    head = int(chain.rpc.block()["number"], 16)
    assert int(lens.read(reader, wallets).link, 16) == 0  # none asked for
    for back in (1, 5, 12):
        lens.link(head - back)
        result = lens.read(reader, wallets)
        assert result.link == chain.rpc.block(hex(head - back))["hash"]
        assert_equal_to(chain.truth.read(wallets), wallets, result)
    for unknown in (head, head + 1, 2 ** 64 - 1):
        lens.link(unknown)
        assert int(lens.read(reader, wallets).link, 16) == 0


# ---- the explanation ------------------------------------------------------------------------------

GUIDE = ROOT / "docs" / "lens.md"


def test_the_guide_shows_the_program_as_it_is(chain):
    """TRUEUP_UPDATE_DOCS=1 writes the listing anew."""
    terms = [("0x18aaa7115705e8be94bffebde57af9bfc265b998", "0x70a08231", TERM_GAS),
             ("0xe6d97b2099f142513be7a2a068be040656ae4591", "0x4b341aed", TERM_GAS)]
    with Lens(chain.rpc, terms) as lens:
        listing, size = lens.listing(), lens.sizes()[0]
    head, mark, rest = GUIDE.read_text().partition("<!-- listing -->\n")
    assert mark
    wanted = head + mark + f"```\n{listing.strip(chr(10))}\n```\n"
    if os.environ.get("TRUEUP_UPDATE_DOCS"):
        GUIDE.write_text(wanted)
    assert GUIDE.read_text() == wanted
    assert f"{size} bytes" in head
