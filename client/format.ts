import { formatEther } from 'viem'

const DECIMALS = 9

/** Wei as $OPEN with at most nine decimals: enough to tell a token's price. */
export function formatOpen(wei: bigint): string {
  const [whole = '0', fraction = ''] = formatEther(wei).split('.')
  const shown = fraction.slice(0, DECIMALS).replace(/0+$/, '')
  return `${whole}${shown && `.${shown}`} OPEN`
}
