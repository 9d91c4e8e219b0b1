// Writes the vectors of this folder with libraries that are not ours: viem for encodings, selectors
// and checksums, ethereumjs for the header bloom. The vectors are checked in; the tests need no node.
//
//     npm ci --ignore-scripts --prefix tests/chain
//     npm install --ignore-scripts --prefix /tmp/bloom @ethereumjs/vm@10.1.3
//     BLOOM=/tmp/bloom node tests/vectors/make.mjs
//
// Without BLOOM the header vectors are left as they are. Randomness is seeded: a rerun changes
// nothing. provider_errors.txt and eip55.txt are written by hand.
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import path from 'node:path'

const here = path.dirname(fileURLToPath(import.meta.url))
const from = async (root, name) =>
  import(pathToFileURL(createRequire(path.join(root, 'x.js')).resolve(name)).href)
const viem = await from(path.join(here, '..', 'chain'), 'viem')

let state = 20260101n
const next = () => (state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n) >> 16n
const bytes = (n) =>
  '0x' + Array.from({ length: n }, () => Number(next() % 256n).toString(16).padStart(2, '0')).join('')
const write = (name, text) => writeFileSync(path.join(here, name), text)
const table = (name, head, rows) =>
  write(name, `# ${head}\n` + rows.map((r) => r.join('\t') + '\n').join(''))

// --- signatures: kind, as written, canonical, hash
const views = [
  'balanceOf(address)', 'totalStakedFor(address)', 'getTotalDelegatorStake(address)',
  'getDelegatorsList(address)', 'getDelegatorStakeForServiceProvider(address, address)',
  'getBlockNumber()', 'getBlockHash(uint256)', 'getLastBlockHash()', 'getCurrentBlockTimestamp()',
  'getChainId()', 'getEthBalance(address)', 'arbBlockNumber()', 'arbBlockHash(uint256)',
  'f(uint a, int b)', 'g(uint8[], bytes32[4][], string, bool)', 'h(bytes calldata data, uint256[] memory list)',
]
const events = [
  'Transfer(address indexed from, address indexed to, uint256 value)',
  'Staked(address indexed user, uint256 amount, uint256 total)',
  'Unstaked(address indexed user, uint256 amount, uint256 total)',
  'Slashed(address indexed user, uint256 amount, uint256 total)',
  'Claim(address indexed claimer, uint256 indexed rewards, uint256 indexed newTotal)',
  'Slash(address indexed target, uint256 indexed amount, uint256 indexed newTotal)',
  'IncreaseDelegatedStake(address indexed delegator, address indexed serviceProvider, uint256 indexed increaseAmount)',
  'UndelegateStakeRequested(address indexed delegator, address indexed serviceProvider, uint256 indexed amount, uint256 lockupExpiryBlock)',
  'UndelegateStakeRequestEvaluated(address indexed delegator, address indexed serviceProvider, uint256 indexed amount)',
  'RemoveDelegatorRequestEvaluated(address indexed serviceProvider, address indexed delegator, uint256 indexed unstakedAmount)',
  'ClaimProcessed(address indexed claimer, uint256 rewards, uint256 oldTotal, uint256 newTotal, uint256 round)',
  'IncreasedStake(address indexed owner, uint256 indexed increaseAmount, uint256 indexed newStakeAmount)',
  'DecreaseStakeRequestEvaluated(address indexed owner, uint256 indexed decreaseAmount, uint256 indexed newStakeAmount)',
  'RegisteredServiceProvider(uint256 indexed spID, bytes32 indexed serviceType, address indexed owner, string endpoint, uint256 stakeAmount)',
  'DeregisteredServiceProvider(uint256 indexed spID, bytes32 indexed serviceType, address indexed owner, string endpoint, uint256 unstakeAmount)',
  'Upgraded(address indexed implementation)',
  'Approval(address indexed owner, address indexed spender, uint value)', 'Ping()',
  'Many(bool a, bytes b, string c, bytes1 d, bytes32 e, int8 f, uint16[3][] g, address[] h)',
]
const viemView = (s) => viem.toFunctionSignature(viem.parseAbiItem(`function ${s}`))
const viemEvent = (s) => viem.toEventSignature(viem.parseAbiItem(`event ${s}`))
table('signatures.txt', 'kind, as written, canonical form, its keccak256; by viem', [
  // Of the parsed item, because toFunctionHash() of a text leaves a bare `uint` as it is.
  ...views.map((s) => ['view', s, viemView(s), viem.toFunctionHash(viem.parseAbiItem(`function ${s}`))]),
  ...events.map((s) => ['event', s, viemEvent(s), viem.toEventHash(viem.parseAbiItem(`event ${s}`))]),
])

// --- checksummed addresses
table('checksums.txt', 'EIP-55 spellings by viem',
  Array.from({ length: 200 }, () => [viem.getAddress(bytes(20))]))

// --- aggregate3
const abi = viem.parseAbi([
  'function aggregate3((address target, bool allowFailure, bytes callData)[] calls) payable returns ((bool success, bytes returnData)[] returnData)',
])
const shapes = [[], [0], [36], [4, 36, 31, 32, 33], Array(7).fill(36), [1000, 0, 1],
  Array.from({ length: 40 }, () => Number(next() % 70n))]
write('aggregate3.json', JSON.stringify(shapes.map((lengths) => {
  const calls = lengths.map((n) => ({ target: bytes(20), allowFailure: true, callData: bytes(n) }))
  const results = lengths.map((n, i) => ({ success: i % 3 !== 1, returnData: bytes(n) }))
  return {
    calls: calls.map((c) => [c.target, c.callData]),
    encoded: viem.encodeFunctionData({ abi, functionName: 'aggregate3', args: [calls] }),
    results: results.map((r) => [r.success, r.returnData]),
    reply: viem.encodeFunctionResult({ abi, functionName: 'aggregate3', result: results }),
  }
}), null, 1) + '\n')

// --- a sole address[] as return value
write('addresses.json', JSON.stringify([0, 1, 2, 175].map((n) => {
  const list = Array.from({ length: n }, () => bytes(20))
  return { list, encoded: viem.encodeAbiParameters([{ type: 'address[]' }], [list]) }
}), null, 1) + '\n')

// --- logs: an event, what viem encodes for it
const transfer = viem.parseAbi(['event Transfer(address indexed from, address indexed to, uint256 value)'])
write('logs.json', JSON.stringify(Array.from({ length: 5 }, (_, i) => {
  const [a, b] = [bytes(20), bytes(20)]
  return {
    from: a, to: b,
    log: {
      address: bytes(20),
      topics: viem.encodeEventTopics({ abi: transfer, eventName: 'Transfer', args: { from: a, to: b } }),
      data: viem.encodeAbiParameters([{ type: 'uint256' }], [next()]),
      blockNumber: viem.toHex(i + 100), blockHash: bytes(32), transactionHash: bytes(32),
      transactionIndex: '0x0', logIndex: viem.toHex(i), ...(i % 2 ? { removed: i === 3 } : {}),
    },
  }
}), null, 1) + '\n')

// --- header bloom: what was added, what was not, the filter
if (process.env.BLOOM) {
  const { Bloom } = await from(process.env.BLOOM, '@ethereumjs/vm')
  write('bloom.json', JSON.stringify([0, 1, 3, 20].map((n) => {
    const bloom = new Bloom()
    const added = Array.from({ length: n }, () => [bytes(20), bytes(32)])
    for (const key of added.flat()) bloom.add(viem.toBytes(key))
    const absent = Array.from({ length: 50 }, () => [bytes(20), bytes(32)])
    return {
      added,
      others: absent.map(([c, t]) => [c, t, bloom.check(viem.toBytes(c)) && bloom.check(viem.toBytes(t))]),
      logsBloom: viem.toHex(bloom.bitvector),
    }
  }), null, 1) + '\n')
}
