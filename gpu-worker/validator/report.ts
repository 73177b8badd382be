/** What a validator found, for people. */
import { formatEther } from 'viem'
import type { Outcome } from './actor.ts'
import type { Remedy } from './checks.ts'
import type { EpochReport, Finding } from './validator.ts'

const MOST_SHOWN = 20

/** One epoch's report as text: a line when all holds, else every finding with what can be done about it. */
export function reportText(report: EpochReport): string {
  const { epoch, receipts, checks, reExecuted, findings, source } = report
  const where =
    source === 'edge' ? ', file from the edge: the data-availability layer lacks it' : ''
  const made = `${receipts} receipts, ${checks} checks, ${reExecuted} re-executed${where}`
  if (findings.length === 0) return `✓ epoch ${epoch}: ${made}`
  const shown = findings.slice(0, MOST_SHOWN).map((finding) => `    ${findingText(finding)}`)
  const rest = findings.length > MOST_SHOWN ? [`    and ${findings.length - MOST_SHOWN} more`] : []
  return [`✗ epoch ${epoch}: ${made}, ${findings.length} wrong`, ...shown, ...rest].join('\n')
}

/** One finding in a line. */
const findingText = ({ name, detail, receipt, requestId, remedy }: Finding): string =>
  `${receipt === null ? '' : `receipt ${receipt} (${requestId}): `}${name}: ${detail} [${REMEDIES[remedy]}]`

const REMEDIES: Record<Remedy, string> = {
  challenge: 'one transaction shows it',
  demand: 'it can be demanded',
  vote: 'for validators to vote on',
}

/** What came of an action in a line. */
export function outcomeText({
  epoch,
  action,
  status,
  transaction,
  reward,
  detail,
}: Outcome): string {
  const about = epoch > 0 ? `epoch ${epoch}: ` : ''
  if (status === 'dry-run') return `  → ${about}would send ${action} (${detail})`
  const won = reward > 0n ? `; ${formatEther(reward)} OPEN are ours` : ''
  return `  → ${about}${action} ${status} in ${transaction} (${detail})${won}`
}
