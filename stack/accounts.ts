import { mnemonicToAccount, type HDAccount } from 'viem/accounts'

/** anvil's well-known phrase: its first ten accounts are rich on every local chain and worthless elsewhere. */
const MNEMONIC = 'test test test test test test test test test test test junk'

const account = (addressIndex: number): HDAccount => mnemonicToAccount(MNEMONIC, { addressIndex })

/** Who is who on the local chain. */
export const DEV = {
  /** Deploys the contracts, then hands their governance to the timelock. */
  governance: account(0),
  /** Gives $OPEN to whoever asks. */
  faucet: account(1),
  /** Owns the embedded base model. */
  modelOwner: account(2),
}
