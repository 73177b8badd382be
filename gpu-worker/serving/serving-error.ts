/** Why a request cannot be answered; the codes are those of the edge's problem table. */
export type ServingErrorCode =
  | 'model/not-found'
  | 'model/revoked'
  | 'model/digest-mismatch'
  | 'model/unavailable'
  | 'model/context-exceeded'
  | 'chain/unavailable'
  | 'inference/failed'

export class ServingError extends Error {
  readonly code: ServingErrorCode
  constructor(code: ServingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ServingError'
    this.code = code
  }
}
