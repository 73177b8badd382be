/** A step of the journey did not do what it promises. */
export class JourneyError extends Error {
  constructor(step: string, message: string) {
    super(`${step}: ${message}`)
    this.name = 'JourneyError'
  }
}

/** Throws a JourneyError unless the condition holds. */
export function expect(condition: boolean, step: string, message: string): asserts condition {
  if (!condition) throw new JourneyError(step, message)
}
