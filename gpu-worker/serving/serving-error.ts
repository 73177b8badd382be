/** Why a request cannot be answered; the codes are those of the edge's problem table. */
export type ServingErrorCode =
  | 'model/not-found'
  | 'model/revoked'
  | 'model/digest-mismatch'
  | 'model/unavailable'
  | 'model/context-exceeded'
  | 'retrieval/failed'
  | 'chain/unavailable'
  | 'inference/failed'
  | 'request/quota'

export class ServingError extends Error {
  readonly code: ServingErrorCode
  /** Seconds after which the same request may be answered; only when too many wait. */
  readonly retryAfterSeconds: number | undefined
  constructor(
    code: ServingErrorCode,
    message: string,
    options: ErrorOptions & { retryAfterSeconds?: number } = {},
  ) {
    super(message, options)
    this.name = 'ServingError'
    this.code = code
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}
