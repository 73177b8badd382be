/** Unix seconds of a time in milliseconds: the unit of every time on the wire. */
export function seconds(ms: number): number
export function seconds(ms: number | null): number | null
export function seconds(ms: number | null): number | null {
  return ms === null ? null : Math.floor(ms / 1000)
}
