// Holders from Transfer logs, and their balances at one block, as a plain script does it with viem.
//     node backfill.mjs URL MULTICALL TERMS-JSON RANGES-JSON WALLETS-A-CALL
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const chain = new URL('../../tests/chain/', import.meta.url)
const require = createRequire(new URL('package.json', chain))
const { createPublicClient, http, parseAbi, parseAbiItem } = await import(
  pathToFileURL(require.resolve('viem')))

const [url, multicallAddress, terms, ranges, perCall] = process.argv.slice(2)
const client = createPublicClient({ transport: http(url, { timeout: 300_000 }) })
const event = parseAbiItem('event Transfer(address indexed from, address indexed to, uint256 value)')
const views = JSON.parse(terms).map(({ contract, view }) => ({
  address: contract,
  abi: parseAbi([`function ${view} view returns (uint256)`]),
  functionName: view.split('(')[0],
}))
const started = process.hrtime.bigint()
const ms = () => Number((process.hrtime.bigint() - started) / 1_000_000n)

const holders = new Set()
let logs = 0
const todo = JSON.parse(ranges)
async function look() {
  for (let range; (range = todo.shift());) {
    const found = await client.getLogs({ address: views[0].address, event,
      fromBlock: BigInt(range[0]), toBlock: BigInt(range[1]) })
    logs += found.length
    for (const { args } of found) {
      holders.add(args.from)
      holders.add(args.to)
    }
  }
}
await Promise.all([look(), look(), look(), look()])
const logMs = ms()

const wallets = [...holders]
const blockNumber = await client.getBlockNumber()
let read = 0
for (let at = 0; at < wallets.length; at += 20_000) {
  const contracts = wallets.slice(at, at + 20_000).flatMap((w) => views.map((v) => ({ ...v, args: [w] })))
  const results = await client.multicall({ contracts, multicallAddress, blockNumber,
    batchSize: Number(perCall) * views.length * 36 })
  for (let i = 0; i < results.length; i += views.length)
    read += results.slice(i, i + views.length).every((p) => p.status === 'success')
}
console.log(JSON.stringify({ logs, read, log_ms: logMs, ms: ms() }))
