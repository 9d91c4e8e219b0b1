// Signs transactions: a JSON object a line on stdin ({ nonce, to?, data, gas, price }), the raw
// transaction a line on stdout. Usage: node sign.mjs CHAIN_ID KEY

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const require = createRequire(new URL('../chain/package.json', import.meta.url))
const { privateKeyToAccount } = await import(pathToFileURL(require.resolve('viem/accounts')))

const [chainId, key] = process.argv.slice(2)
const account = privateKeyToAccount(key)
for await (const line of createInterface({ input: process.stdin })) {
  const { nonce, to, data, gas, price } = JSON.parse(line)
  const raw = await account.signTransaction({
    type: 'legacy', chainId: Number(chainId), nonce, to, data, gas: BigInt(gas), gasPrice: BigInt(price)
  })
  console.log(raw)
}
