import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createPublicClient, getAddress, http } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import type { Hex } from '#protocol/bytes.ts'
import { PARAMETERS, type ParameterValues } from '#protocol/parameters.ts'
import { readAddresses, writeAddresses, type Contracts } from './address-file.ts'
import { ABIS, create, isDeployed } from './create.ts'
import { GOVERNOR_SETTINGS, type GovernorSettings } from './governor-settings.ts'
import { DeploymentError, sender } from './sender.ts'
import { wire } from './wire.ts'

export { DeploymentError, type Contracts }

export type Deployment = {
  rpcUrl: string
  chainId: number
  /** Pays, and governs until the hand-over; afterwards it has no role. */
  deployerKey: Hex
  /** May register for others in both registries. */
  operator: Hex
  /** May submit epochs; the deployer posts its bond. */
  submitter: Hex
  /** Values that differ from protocol/parameters.ts, within its bounds; used by a new deployment only. */
  parameters?: Partial<ParameterValues>
  /** Whether governed numbers change at once and by any step, for chains to watch and test. */
  quickParameters?: boolean
  /** Settings that differ from governor-settings.ts; used by a new deployment only. */
  governor?: Partial<GovernorSettings>
  /** Whether the timelock takes over at the end (default), or the deployer goes on governing, as tests like it. */
  handOver?: boolean
  /** JSON file of addresses: read to find an earlier deployment, written after a new one. */
  addressFile?: string
}

/**
 * Deploys the contracts, or finds them again by `addressFile`, then wires whatever is not wired yet: the vault's
 * settlement, the operator, the submitter and its bond. At last the timelock takes the governance over. A second
 * run sends nothing.
 * Throws DeploymentError when the chain is another, when the file's addresses hold other code than this
 * checkout's, when a role would have to change that is the timelock's to change, or when a transaction reverts.
 */
export async function deployContracts(deployment: Deployment): Promise<Contracts> {
  const { rpcUrl, addressFile, deployerKey } = deployment
  const client = createPublicClient({ transport: http(rpcUrl), pollingInterval: 100 })
  const chainId = await client.getChainId()
  if (chainId !== deployment.chainId)
    throw new DeploymentError(`the chain at ${rpcUrl} is ${chainId}, not ${deployment.chainId}`)

  const send = sender(client, rpcUrl, deployerKey)
  const deployer = privateKeyToAddress(deployerKey)
  const roles = { handOver: true, ...deployment, deployer }
  const known = addressFile ? readAddresses(addressFile, chainId) : null
  if (known && (await isDeployed(client, known))) {
    await wire(client, send, known, roles)
    return known
  }
  const contracts = await create(client, send, roles)
  if (addressFile) writeAddresses(addressFile, chainId, contracts)
  await wire(client, send, contracts, roles)
  return contracts
}

const USAGE = `node contracts/script/deploy.ts --rpc URL [options]

Deploys every contract, gives the roles, bonds the submitter, and hands the governance of all of it to the timelock
under the governor. Repeated with the same --out it sends only what is missing.

  --rpc URL               JSON-RPC endpoint of the chain
  --operator ADDRESS      may register for others (default: the deployer)
  --submitter ADDRESS     may submit epochs (default: the deployer)
  --set NAME=VALUE        parameter that differs from protocol/parameters.ts; repeatable
  --governor NAME=VALUE   setting that differs from contracts/script/governor-settings.ts; repeatable
  --keep-governance       leaves the governance with the deployer, for a chain of your own
  --out FILE              keeps chain id and addresses, and finds them again; the value of "contracts" is what the
                          edge reads as CONTRACTS
  --abi FOLDER            writes the ABI of every contract there, as NAME.json
  --help                  this text

The deployer's private key is read from DEPLOYER_KEY. contracts/deploy/README.md tells what comes before and after.`

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rpc: { type: 'string' },
      operator: { type: 'string' },
      submitter: { type: 'string' },
      set: { type: 'string', multiple: true },
      governor: { type: 'string', multiple: true },
      'keep-governance': { type: 'boolean' },
      out: { type: 'string' },
      abi: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return console.log(USAGE)
  const deployerKey = process.env.DEPLOYER_KEY as Hex | undefined
  if (!values.rpc || !deployerKey) throw new DeploymentError(USAGE)
  const parameters = parseOverrides('set', values.set, PARAMETERS)
  const governor = parseOverrides('governor', values.governor, GOVERNOR_SETTINGS)
  const client = createPublicClient({ transport: http(values.rpc) })
  const deployer = privateKeyToAddress(deployerKey)
  const contracts = await deployContracts({
    rpcUrl: values.rpc,
    chainId: await client.getChainId(),
    deployerKey,
    operator: getAddress(values.operator ?? deployer),
    submitter: getAddress(values.submitter ?? deployer),
    parameters,
    governor,
    handOver: !values['keep-governance'],
    ...(values.out && { addressFile: values.out }),
  })
  if (values.abi) writeAbis(values.abi)
  console.log(JSON.stringify(contracts, null, 2))
}

function writeAbis(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, abi] of Object.entries(ABIS))
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(abi, null, 2)}\n`)
}

/** Reads `name=value` options; throws DeploymentError on a name that is not in the table, or a malformed value. */
function parseOverrides<Name extends string>(
  option: string,
  settings: string[] = [],
  table: Record<Name, unknown>,
): Partial<Record<Name, bigint>> {
  return Object.fromEntries(
    settings.map((setting) => {
      const [name = '', value = ''] = setting.split('=')
      if (!Object.hasOwn(table, name) || !/^\d+$/.test(value))
        throw new DeploymentError(
          `--${option} takes NAME=VALUE with a whole number and one of ${Object.keys(table).join(', ')}: ${setting}`,
        )
      return [name, BigInt(value)]
    }),
  ) as Partial<Record<Name, bigint>>
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof DeploymentError ? error.message : error)
    process.exitCode = 1
  })
}
