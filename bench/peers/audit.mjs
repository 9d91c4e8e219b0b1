// A plain audit: the rows of a file (wallet,balance) compared with the chain at one block.
//     node audit.mjs URL MULTICALL ROWS-FILE TERMS-JSON WALLETS-A-CALL|default
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const chain = new URL('../../tests/chain/', import.meta.url)
const require = createRequire(new URL('package.json', chain))
const { createPublicClient, http, parseAbi } = await import(pathToFileURL(require.resolve('viem')))

const [url, multicallAddress, file, terms, perCall] = process.argv.slice(2)
const client = createPublicClient({ transport: http(url, { timeout: 120_000 }) })
const views = JSON.parse(terms).map(({ contract, view }) => ({
  address: contract,
  abi: parseAbi([`function ${view} view returns (uint256)`]),
  functionName: view.split('(')[0],
}))
const batchSize = perCall === 'default' ? undefined : Number(perCall) * views.length * 36

const started = process.hrtime.bigint()
const rows = readFileSync(file, 'utf8').trim().split('\n').map((l) => l.split(','))
const blockNumber = await client.getBlockNumber({ cacheTime: 0 })
let drifted = 0
let compared = 0
const page = 10_000
for (let from = 0; from < rows.length; from += page) {
  const part = rows.slice(from, from + page)
  const contracts = part.flatMap(([w]) => views.map((v) => ({ ...v, args: [w] })))
  const results = await client.multicall({ contracts, multicallAddress, blockNumber, batchSize })
  for (let i = 0; i < part.length; i++) {
    const parts = results.slice(i * views.length, (i + 1) * views.length)
    if (!parts.every((p) => p.status === 'success')) continue
    compared++
    if (parts.reduce((sum, p) => sum + p.result, 0n) !== BigInt(part[i][1])) drifted++
  }
}
const ms = Number((process.hrtime.bigint() - started) / 1_000_000n)
console.log(JSON.stringify({ compared, drifted, ms }))
