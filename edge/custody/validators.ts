import type { Hex } from '#protocol/bytes.ts'
import type { Ctx } from '../context.ts'

/** Whether an address may see what validators need to run receipts again. */
export const isValidator = async ({ settings }: Ctx, address: Hex): Promise<boolean> =>
  settings.VALIDATORS.includes(address)
