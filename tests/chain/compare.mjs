// Reads every wallet with viem, one plain call a wallet and term, and compares with the rows given
// on standard input: { url, block, terms: [{ contract, view }], rows: [{ wallet, balance }] }.
// Prints one line; exits 1 when a row differs. Shares nothing with the program it judges.

import { readFileSync } from 'node:fs'
import { createPublicClient, http, parseAbi } from 'viem'

const { url, block, terms, rows } = JSON.parse(readFileSync(0, 'utf8'))
const client = createPublicClient({ transport: http(url, { batch: { batchSize: 200 } }) })

const read = (wallet, { contract, view }) =>
  client.readContract({
    address: contract,
    abi: parseAbi([`function ${view} view returns (uint256)`]),
    functionName: view.split('(')[0],
    args: [wallet],
    blockNumber: BigInt(block),
  })

const differences = []
let sum = 0n
for (let i = 0; i < rows.length; i += 100) {
  await Promise.all(rows.slice(i, i + 100).map(async ({ wallet, balance }) => {
    const values = await Promise.all(terms.map((term) => read(wallet, term)))
    const actual = values.reduce((a, b) => a + b, 0n)
    sum += actual
    if (actual !== BigInt(balance)) differences.push(`${wallet}: row ${balance}, chain ${actual}`)
  }))
}
console.log(`${rows.length - differences.length} of ${rows.length} rows equal the chain at block ` +
  `${block}, ${rows.length * terms.length} calls`)
for (const line of differences.slice(0, 10)) console.log(line)
process.exit(differences.length > 0 || rows.length === 0 ? 1 : 0)
