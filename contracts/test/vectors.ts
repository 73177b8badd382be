import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { concatBytes, keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { type Receipt, type ReceiptRow } from '#protocol/receipt.ts'
import { METHOD_VERSION } from '#protocol/score.ts'
import { foundryBinary, root } from '../script/foundry.ts'
import { devAccount, type startAnvil } from './anvil.ts'

/**
 * Values of every width, always the same ones: the digits of a keccak256 chain. Every third number is an end of
 * its range, where encodings go wrong.
 */
export class Values {
  #state: Hex
  #count = 0

  constructor(seed: string) {
    this.#state = keccak(seed)
  }

  #next(): bigint {
    this.#state = keccak(concatBytes(new TextEncoder().encode(this.#state)))
    this.#count++
    return BigInt(this.#state)
  }

  hash(): Hex {
    return word(this.#next(), 32)
  }

  address(): Hex {
    return word(this.#next() >> 96n, 20)
  }

  uint(bits: number): bigint {
    const value = this.#next() >> BigInt(256 - bits)
    const end = this.#count % 6
    return end === 0 ? 0n : end === 3 ? (1n << BigInt(bits)) - 1n : value
  }

  int(bits: number): bigint {
    return this.uint(bits) - (1n << BigInt(bits - 1))
  }

  list<T>(max: number, make: () => T): T[] {
    return Array.from({ length: Number(this.#next() % BigInt(max + 1)) }, make)
  }

  /** A value of an ABI type, as viem takes it. */
  of(type: string): unknown {
    if (type === 'bytes32') return this.hash()
    if (type === 'address') return this.address()
    const bits = Number(/\d+$/.exec(type)?.[0])
    const value = type.startsWith('u') ? this.uint(bits) : this.int(bits)
    return bits <= 48 ? Number(value) : value
  }
}

const word = (value: bigint, bytes: number): Hex =>
  toHex(
    Uint8Array.from({ length: bytes }, (_, i) =>
      Number((value >> BigInt(8 * (bytes - 1 - i))) & 255n),
    ),
  )

/** A receipt of random content; its sums do not hold. */
export function randomReceipt(values: Values): Receipt {
  const row = (): ReceiptRow => ({
    cluster: values.hash(),
    record: values.hash(),
    contributor: values.address(),
    influence: values.int(64),
    significance: values.int(64),
    text: values.uint(64),
    spans: values.list(3, () => ({
      outputStart: Number(values.uint(32)),
      recordStart: Number(values.uint(32)),
      length: Number(values.uint(32)),
    })),
    amount: values.uint(256),
  })
  return {
    requestId: values.hash(),
    payer: values.address(),
    base: values.hash(),
    adapter: values.hash(),
    indexRoot: values.hash(),
    datanets: values.list(3, () => values.hash()),
    paramsHash: values.hash(),
    methodVersion: METHOD_VERSION,
    promptHash: values.hash(),
    outputHash: values.hash(),
    outputRoot: values.hash(),
    outputTokens: Number(values.uint(32)),
    queryHash: values.hash(),
    promptTokens: Number(values.uint(32)),
    completionTokens: Number(values.uint(32)),
    fee: values.uint(256),
    platform: values.uint(256),
    model: values.uint(256),
    stakers: values.uint(256),
    retrieval: values.uint(256),
    modelOwner: values.address(),
    covered: values.uint(64),
    total: values.uint(64),
    floor: values.int(64),
    rows: values.list(4, row),
    unattributed: values.uint(256),
    citations: values.list(3, () => ({
      cluster: values.hash(),
      record: values.hash(),
      contributor: values.address(),
      datanet: values.hash(),
      amount: values.uint(256),
    })),
    stored: values.uint(1) === 1n,
    worker: values.address(),
    time: values.uint(64),
  }
}

/** The contract of contracts/test/Vectors.sol on a chain. */
export type Vectors = { ask: (functionName: string, args: unknown[]) => Promise<unknown> }

/** Builds and deploys Vectors.sol. */
export async function deployVectors({
  client,
}: Awaited<ReturnType<typeof startAnvil>>): Promise<Vectors> {
  const built = spawnSync(foundryBinary('forge'), ['build'], { cwd: root, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(built.stdout + built.stderr)
  const file = join(root, 'contracts/out/Vectors.sol/Vectors.json')
  const { abi, bytecode } = JSON.parse(readFileSync(file, 'utf8'))
  const hash = await client.deployContract({
    abi,
    bytecode: bytecode.object,
    account: devAccount(0).account,
    chain: null,
  })
  const { contractAddress } = await client.waitForTransactionReceipt({ hash })
  const address = contractAddress
  if (!address) throw new Error('Vectors was not deployed')
  return { ask: (functionName, args) => client.readContract({ address, abi, functionName, args }) }
}
