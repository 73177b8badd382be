import { formatEther, parseEther } from 'viem'

const DECIMALS = 9

/** Wei as $OPEN with at most nine decimals: enough to tell a token's price. */
export function formatOpen(wei: bigint): string {
  const [whole = '0', fraction = ''] = formatEther(wei).split('.')
  const shown = fraction.slice(0, DECIMALS).replace(/0+$/, '')
  return `${whole}${shown && `.${shown}`} OPEN`
}

/** Wei of an amount of $OPEN as it is typed, such as `1.5`; null when it is none. */
export const parseOpen = (text: string): bigint | null =>
  /^\d+(\.\d{1,18})?$/.test(text) ? parseEther(text) : null
