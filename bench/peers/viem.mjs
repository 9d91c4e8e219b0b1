// The same wallets read by viem's multicall, a round for each line on stdin.
//     node viem.mjs URL MULTICALL WALLETS-FILE TERMS-JSON WALLETS-A-CALL|default
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const chain = new URL('../../tests/chain/', import.meta.url)
const require = createRequire(new URL('package.json', chain))
const { createPublicClient, http, parseAbi } = await import(pathToFileURL(require.resolve('viem')))

const [url, multicallAddress, file, terms, perCall] = process.argv.slice(2)
const wallets = readFileSync(file, 'utf8').trim().split('\n')
const client = createPublicClient({ transport: http(url, { timeout: 120_000 }) })
const views = JSON.parse(terms).map(({ contract, view }) => ({
  address: contract,
  abi: parseAbi([`function ${view} view returns (uint256)`]),
  functionName: view.split('(')[0],
}))
const contracts = wallets.flatMap((w) => views.map((v) => ({ ...v, args: [w] })))
// viem counts a batch in bytes of call data: 36 a call.
const batchSize = perCall === 'default' ? undefined : Number(perCall) * views.length * 36

async function round() {
  const started = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  const blockNumber = await client.getBlockNumber({ cacheTime: 0 })
  const results = await client.multicall({ contracts, multicallAddress, blockNumber, batchSize })
  let sum = 0n
  let good = 0
  for (let i = 0; i < wallets.length; i++) {
    const parts = results.slice(i * views.length, (i + 1) * views.length)
    if (!parts.every((p) => p.status === 'success')) continue
    good++
    for (const p of parts) sum += p.result
  }
  const us = Number((process.hrtime.bigint() - started) / 1000n)
  const used = process.cpuUsage(cpu)
  console.log(JSON.stringify({ wallets: wallets.length, good, sum: String(sum), us,
    cpu_us: used.user + used.system }))
}

for await (const _ of createInterface({ input: process.stdin })) await round()
