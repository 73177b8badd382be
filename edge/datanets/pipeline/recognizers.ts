/**
 * Personal data, found by a bounded pattern, then a validator, then the words around it: a bare pattern takes section
 * numbers for addresses and table cells for cards. No quantifier is unbounded and none nests over the same characters,
 * so time is linear in the text.
 */

export type PiiType = 'EMAIL' | 'PHONE' | 'IP' | 'SSN' | 'CARD' | 'IBAN' | 'PATIENT_ID'

export type Recognizer = {
  type: PiiType
  pattern: RegExp
  /** A cheap test of the whole text: without it the pattern is not run. */
  hint: RegExp
  /** Whether the match is what it looks like; `before` and `after` are up to CONTEXT_CHARS of neighbouring text. */
  isValid: (match: string, before: string, after: string) => boolean
}

/** How much text on either side a validator sees. */
export const CONTEXT_CHARS = 100

const DIGIT_RUN = /\d[\d .()-]{5}/

/** In order of precedence: where matches overlap, the earlier recognizer wins. */
export const RECOGNIZERS: readonly Recognizer[] = [
  {
    type: 'EMAIL',
    pattern: /\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b/g,
    hint: /@/,
    isValid: (match) => !isPublicMailbox(match.toLowerCase()),
  },
  {
    type: 'IBAN',
    pattern: /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g,
    hint: /[A-Z]{2}\d{2}/,
    isValid: (match) => isIban(match.replaceAll(' ', '')),
  },
  {
    type: 'CARD',
    pattern: /(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d-])/g,
    hint: DIGIT_RUN,
    isValid: (match, before, after) =>
      isCardNumber(match.replace(/\D/g, '')) &&
      /\b(?:cards?|visa|mastercard|amex|american express|discover|credit|debit|payment|cvv|cvc|expir\w{0,6})\b/i.test(
        `${before.slice(-60)} ${after.slice(0, 60)}`,
      ),
  },
  {
    type: 'SSN',
    pattern: /(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])/g,
    hint: /\d{3}-\d{2}-\d{4}/,
    isValid: () => true,
  },
  {
    type: 'PATIENT_ID',
    pattern:
      /(?<=\b(?:MRN|NHS(?: (?:No|Number))?|Medical Record (?:No|Number)|Patient (?:ID|No|Number)|DOB|Date of Birth)\b[.:#\s]{1,3})(?=[^\s\d]{0,6}\d)(?:\d{3} \d{3} \d{4}|[A-Za-z0-9/.-]{4,20})\b/gi,
    hint: /MRN|NHS|Medical Record|Patient|DOB|Date of Birth/i,
    isValid: (match, before) => {
      const digits = match.replace(/\D/g, '')
      if (digits.length < 4) return false
      return !/NHS[\w ]{0,8}[.:#\s]{1,3}$/i.test(before) || isNhsNumber(digits)
    },
  },
  {
    type: 'PHONE',
    pattern:
      /(?<![\d.])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\d-])|\+\d{1,3}[ -]?(?:\d[ -]?){6,12}\d(?!\d)/g,
    hint: DIGIT_RUN,
    isValid: (match, before) => isPrivatePhone(match, before),
  },
  {
    type: 'IP',
    pattern: /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]?\d)/g,
    hint: /\d\.\d{1,3}\.\d/,
    isValid: (match, before, after) => isPublicIpv4(match) && isAddressContext(before, after),
  },
  {
    type: 'IP',
    pattern: /(?<![\w:.])[0-9A-Fa-f]{1,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4}(?![\w:])/g,
    hint: /:[0-9A-Fa-f]{0,4}:/,
    isValid: (match, before, after) => isPublicIpv6(match) && isAddressContext(before, after),
  },
]

const PUBLIC_DOMAINS =
  /(?:@|\.)(?:example\.(?:com|org|net)|[a-z0-9-]{1,63}\.(?:gov|mil|int|example|invalid|test))$/
const ROLE_MAILBOX =
  /^(?:info|support|contact|help|helpdesk|sales|admin|office|press|media|legal|privacy|security|abuse|postmaster|webmaster|noreply|no-reply|licensing|licence|license|copyright|opensource|feedback|inquiries|enquiries|hello|team)@/

/** Addresses that stand for an office, an agency or an example, not for a person. */
const isPublicMailbox = (address: string): boolean =>
  PUBLIC_DOMAINS.test(address) || ROLE_MAILBOX.test(address)

const TOLL_FREE = /^(?:800|822|833|844|855|866|877|888)/

function isPrivatePhone(match: string, before: string): boolean {
  const digits = match.replace(/\D/g, '')
  const isUs = !match.startsWith('+') || digits.startsWith('1')
  const national = isUs && digits.length === 11 ? digits.slice(1) : digits
  if (isUs && TOLL_FREE.test(national)) return false
  // North American area codes and exchanges begin with 2 to 9.
  if (isUs && !/^[2-9]\d\d[2-9]/.test(national)) return false
  // Reference numbers and parts of addresses on the web are no telephones.
  return (
    !/\b(?:isbn|issn|doi|pmid)\b/i.test(before.slice(-40)) &&
    !/(?:https?:\/\/\S{0,80}|#|\bno\. ?)$/i.test(before)
  )
}

const isAddressContext = (before: string, after: string): boolean =>
  /\b(?:ip|ips|ipv[46]|hosts?|hostname|addr|address|server|ping|dns|router|gateway)\b/i.test(
    `${before.slice(-40)} ${after.slice(0, 40)}`,
  ) &&
  !/(?:section|sections|§|\bec|version|\bv|clause|article|exhibit|schedule)[\s.:]{0,3}$/i.test(
    before,
  )

function isPublicIpv4(match: string): boolean {
  const [a = 256, b = 256, c = 256, d = 256] = match.split('.').map(Number)
  if ([a, b, c, d].some((octet) => octet > 255)) return false
  const isReserved =
    a === 0 ||
    a === 10 ||
    a === 127 ||
    a >= 224 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 192 && b === 0 && (c === 0 || c === 2)) ||
    (a === 198 && (b === 18 || b === 19)) ||
    (a === 198 && b === 51 && c === 100) ||
    (a === 203 && b === 0 && c === 113)
  return !isReserved
}

function isPublicIpv6(match: string): boolean {
  const halves = match.split('::')
  const groups = match.split(':').filter((group) => group !== '')
  if (halves.length > 2 || groups.length > 8) return false
  if (halves.length === 1 && groups.length !== 8) return false
  return !/^(?:fe[89ab]|f[cd]|ff|0{0,3}[01]?:|2001:0?db8)/i.test(match)
}

/** The Luhn checksum, and a length and first digits that an issuer uses. */
export function isCardNumber(digits: string): boolean {
  const isIssued =
    /^4(?:\d{12}|\d{15}|\d{18})$/.test(digits) || // Visa
    /^(?:5[1-5]|2[2-7])\d{14}$/.test(digits) || // Mastercard
    /^3[47]\d{13}$/.test(digits) || // American Express
    /^3(?:0[0-5]|[689])\d{11,16}$/.test(digits) || // Diners
    /^35\d{14,17}$/.test(digits) || // JCB
    /^6\d{15,18}$/.test(digits) // Discover, UnionPay, Maestro
  if (!isIssued) return false
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits.charAt(digits.length - 1 - i)) * (i % 2 === 1 ? 2 : 1)
    sum += digit > 9 ? digit - 9 : digit
  }
  return sum % 10 === 0
}

const IBAN_LENGTH: ReadonlyMap<string, number> = new Map(
  `AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20 LV21 MC27 MD24 ME22
MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 UA29 VG24 XK20`
    .split(/\s+/)
    .map((entry): [string, number] => [entry.slice(0, 2), Number(entry.slice(2))]),
)

/** ISO 13616: the country's length, and the rearranged number modulo 97 is 1. */
export function isIban(iban: string): boolean {
  if (IBAN_LENGTH.get(iban.slice(0, 2)) !== iban.length) return false
  let rest = 0
  for (const char of iban.slice(4) + iban.slice(0, 4)) {
    const value = parseInt(char, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest === 1
}

/** Ten digits whose weighted sum modulo 11 gives the last. */
export function isNhsNumber(digits: string): boolean {
  if (digits.length !== 10) return false
  let sum = 0
  for (let i = 0; i < 9; i++) sum += Number(digits.charAt(i)) * (10 - i)
  const check = 11 - (sum % 11)
  return check !== 10 && (check === 11 ? 0 : check) === Number(digits.charAt(9))
}
