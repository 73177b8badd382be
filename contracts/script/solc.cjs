#!/usr/bin/env node
// The npm compiler behind the command line that forge expects: `--version`, and `--standard-json` with the
// JSON on stdin (forge inlines every source, so no import callback is needed). Nothing is downloaded.
const { readFileSync } = require('node:fs')
const solc = require('solc')

const args = process.argv.slice(2)
if (args.includes('--version')) {
  process.stdout.write(
    `solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`,
  )
} else if (args.includes('--standard-json')) {
  process.stdout.write(solc.compile(readFileSync(0, 'utf8')), () => process.exit(0))
} else {
  process.stderr.write(`solc.cjs: unsupported arguments ${args.join(' ')}\n`)
  process.exit(1)
}
