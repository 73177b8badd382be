import { z } from 'zod'

const MAX_CHARS = 200
const TOKEN = /\s*(\(|\)|[A-Za-z0-9.-]+(?::[A-Za-z0-9.-]+)?\+?)/y
const ID = /^(?:[A-Za-z0-9.-]+\+?|(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+)$/
const OPERATOR = /^(?:AND|OR|WITH)$/

/**
 * An SPDX licence expression by its grammar (SPDX 2.3, annex D): ids joined by AND, OR and WITH, in brackets if need be;
 * with single spaces, so that expressions can be compared. Which ids exist is not checked: the list grows, and LicenseRef-
 * ids are anybody's.
 */
export const licenceExpression = z
  .string()
  .refine((text) => isExpression(tokensOf(text)), 'expected an SPDX licence expression')
  .transform((text) => (tokensOf(text) ?? []).join(' '))

function isExpression(tokens: readonly string[] | null): boolean {
  if (!tokens) return false
  let at = 0
  const operand = (): boolean => {
    if (tokens[at] === '(') {
      at++
      if (!expression() || tokens[at] !== ')') return false
      at++
      return true
    }
    if (!isId(tokens[at++])) return false
    if (tokens[at] !== 'WITH') return true
    at++
    return isId(tokens[at++])
  }
  const expression = (): boolean => {
    if (!operand()) return false
    while (tokens[at] === 'AND' || tokens[at] === 'OR') {
      at++
      if (!operand()) return false
    }
    return true
  }
  return expression() && at === tokens.length
}

const isId = (token: string | undefined): boolean =>
  token !== undefined && ID.test(token) && !OPERATOR.test(token)

function tokensOf(text: string): string[] | null {
  if (text.length > MAX_CHARS) return null
  const trimmed = text.trimEnd()
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  for (let at = 0; at < trimmed.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at
    const token = TOKEN.exec(trimmed)?.[1]
    if (token === undefined) return null
    tokens.push(token)
  }
  return tokens
}
