// Compiles contracts/*.sol and writes one JSON file with all a test needs to deploy and call them,
// so that no test needs a compiler, a Keccak or an ABI library of its own:
//   { NAME: { bytecode, selectors: { "f(address)": "0x…" }, topics: { "E(address)": "0x…" } } }
// Multicall3 comes from viem, which carries its creation code.
// Usage: node compile.mjs [OUTPUT]   (default build/contracts.json)

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const output = process.argv[2] ?? join(here, 'build', 'contracts.json')
const names = readdirSync(join(here, 'contracts')).filter((n) => n.endsWith('.sol')).sort()
const sources = Object.fromEntries(
  names.map((n) => [n, { content: readFileSync(join(here, 'contracts', n), 'utf8') }]))

// The compiler is a megabyte of WebAssembly and takes seconds to start: compile only what changed.
const stamp = createHash('sha256')
  .update(JSON.stringify(sources))
  .update(readFileSync(fileURLToPath(import.meta.url)))
  .update(readFileSync(join(here, 'package-lock.json')))
  .digest('hex')
if (existsSync(output) && JSON.parse(readFileSync(output, 'utf8')).stamp === stamp) process.exit(0)

const { default: solc } = await import('solc')
const { toEventSelector, toFunctionSelector } = await import('viem')
const { multicall3Bytecode } = await import('./node_modules/viem/_esm/constants/contracts.js')

const result = JSON.parse(solc.compile(JSON.stringify({
  language: 'Solidity',
  sources,
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: 'paris', // no PUSH0: so the contracts also run on the older hardforks of a test
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
  },
})))
for (const e of result.errors ?? []) console.error(e.formattedMessage)
if ((result.errors ?? []).some((e) => e.severity === 'error')) process.exit(1)

const signature = (item) => `${item.name}(${item.inputs.map((i) => i.type).join(',')})`
const built = { stamp }
for (const file of Object.values(result.contracts)) {
  for (const [name, contract] of Object.entries(file)) {
    if (contract.evm.bytecode.object === '') continue // abstract
    const selectors = {}
    const topics = {}
    for (const item of contract.abi) {
      if (item.type === 'function') selectors[signature(item)] = toFunctionSelector(signature(item))
      if (item.type === 'event') topics[signature(item)] = toEventSelector(signature(item))
    }
    built[name] = { bytecode: '0x' + contract.evm.bytecode.object, selectors, topics }
  }
}
built.Multicall3 = { bytecode: multicall3Bytecode, selectors: {}, topics: {} }

mkdirSync(dirname(output), { recursive: true })
writeFileSync(output + '.new', JSON.stringify(built, null, 1))
renameSync(output + '.new', output) // several test runs may share the folder
