/** Names of U+00A0 to U+00FF, in order (HTML 4, Latin-1 set). */
const LATIN1 = `nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3
acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig
Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave
Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave
iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml`

/** The other names that turn up in scraped prose, with their characters. */
const OTHERS = `amp & AMP & lt < LT < gt > GT > quot " QUOT " apos ' OElig Œ oelig œ Scaron Š scaron š Yuml Ÿ fnof ƒ
circ ˆ tilde ˜ ndash – mdash — lsquo ‘ rsquo ’ sbquo ‚ ldquo “ rdquo ” bdquo „ dagger † Dagger ‡ bull • hellip … permil ‰
prime ′ Prime ″ lsaquo ‹ rsaquo › euro € trade ™ larr ← uarr ↑ rarr → darr ↓ harr ↔ minus − lowast ∗ radic √ infin ∞
asymp ≈ ne ≠ equiv ≡ le ≤ ge ≥ sum ∑ part ∂ int ∫ Alpha Α Beta Β Gamma Γ Delta Δ Theta Θ Lambda Λ Pi Π Sigma Σ Phi Φ
Psi Ψ Omega Ω alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ
omicron ο pi π rho ρ sigmaf ς sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω`

const NAMED: ReadonlyMap<string, string> = new Map([
  ...LATIN1.split(/\s+/).map((name, i): [string, string] => [name, String.fromCharCode(0xa0 + i)]),
  ...OTHERS.split(/\s+/).flatMap((name, i, all): [string, string][] =>
    i % 2 === 0 ? [[name, all[i + 1] ?? '']] : [],
  ),
  ['ensp', '\u2002'],
  ['emsp', '\u2003'],
  ['thinsp', '\u2009'],
  ['zwnj', '\u200c'],
  ['zwj', '\u200d'],
  ['lrm', '\u200e'],
  ['rlm', '\u200f'],
])

const ENTITY = /&(?:#(\d{1,8})|#[xX]([0-9a-fA-F]{1,7})|([a-zA-Z]{2,8}[1-4]{0,2}));/g

/** Replaces HTML character references, named and numeric, once; unknown names stay as they are. */
export function decodeEntities(text: string): { text: string; count: number } {
  let count = 0
  const decoded = text.replace(ENTITY, (match, decimal?: string, hex?: string, name?: string) => {
    const character =
      name === undefined
        ? fromCodePoint(decimal === undefined ? parseInt(hex ?? '', 16) : Number(decimal))
        : NAMED.get(name)
    if (character === undefined) return match
    count++
    return character
  })
  return { text: decoded, count }
}

/** What HTML makes of a numeric reference: NUL, surrogates and numbers out of range become U+FFFD. */
const fromCodePoint = (code: number): string =>
  code === 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)
    ? '\ufffd'
    : String.fromCodePoint(code)
