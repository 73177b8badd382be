/** What went wrong, by type. `code` and `kind` are OpenAI's `error.code` and `error.type`. */
const PROBLEMS = {
  'request/invalid': [400, 'The request is not valid', 'invalid_request', 'invalid_request_error'],
  'request/too-large': [413, 'The body is too large', 'body_too_large', 'invalid_request_error'],
  'request/unsupported-type': [
    415,
    'The content type is not supported',
    'unsupported_content_type',
    'invalid_request_error',
  ],
  'request/not-found': [404, 'There is no such route', 'unknown_url', 'invalid_request_error'],
  'request/quota': [429, 'Too many requests', 'rate_limit_exceeded', 'rate_limit_error'],
  'auth/required': [401, 'An API key is required', 'missing_api_key', 'authentication_error'],
  'auth/invalid-key': [401, 'The API key is not valid', 'invalid_api_key', 'authentication_error'],
  'auth/invalid-login': [
    401,
    'The login message or its signature is not valid',
    'invalid_login',
    'authentication_error',
  ],
  'auth/scope': [403, 'The API key lacks a scope', 'insufficient_scope', 'permission_error'],
  'auth/forbidden': [403, 'The account may not do this', 'forbidden', 'permission_error'],
  'auth/key-not-found': [404, 'There is no such API key', 'key_not_found', 'invalid_request_error'],
  'idempotency/invalid': [
    400,
    'The Idempotency-Key is not valid',
    'idempotency_key_invalid',
    'invalid_request_error',
  ],
  'idempotency/in-flight': [
    409,
    'The first request with this Idempotency-Key is still running',
    'idempotency_in_flight',
    'invalid_request_error',
  ],
  'idempotency/mismatch': [
    422,
    'The Idempotency-Key was used with another request',
    'idempotency_mismatch',
    'invalid_request_error',
  ],
  'idempotency/not-replayable': [
    409,
    'The answer to this Idempotency-Key cannot be repeated',
    'idempotency_not_replayable',
    'invalid_request_error',
  ],
  'datanet/not-found': [
    404,
    'There is no such Datanet',
    'datanet_not_found',
    'invalid_request_error',
  ],
  'datanet/slug-taken': [
    409,
    'The account has a Datanet with this slug',
    'slug_taken',
    'invalid_request_error',
  ],
  'contribution/empty': [
    400,
    'The contribution is empty',
    'empty_contribution',
    'invalid_request_error',
  ],
  'contribution/malformed': [
    400,
    'The contribution cannot be read',
    'malformed_contribution',
    'invalid_request_error',
  ],
  'contribution/record-too-large': [
    413,
    'A record of the contribution is too large',
    'record_too_large',
    'invalid_request_error',
  ],
  'contribution/metadata': [
    400,
    'The metadata of the contribution is not valid',
    'invalid_metadata',
    'invalid_request_error',
  ],
  'contribution/licence': [
    422,
    'The Datanet does not accept this licence',
    'licence_not_accepted',
    'invalid_request_error',
  ],
  'contribution/not-found': [
    404,
    'There is no such contribution',
    'contribution_not_found',
    'invalid_request_error',
  ],
  'contribution/not-anchored': [
    409,
    'The contribution is not anchored, so that there is nothing to withdraw',
    'contribution_not_anchored',
    'invalid_request_error',
  ],
  'contribution/not-signed': [
    403,
    'A withdrawal has to be signed by the wallet of its contributor',
    'contribution_not_signed',
    'permission_error',
  ],
  'revocation/not-found': [
    404,
    'There is no such call',
    'revocation_not_found',
    'invalid_request_error',
  ],
  'version/not-found': [
    404,
    'There is no such Datanet version',
    'version_not_found',
    'invalid_request_error',
  ],
  'version/in-progress': [
    409,
    'A version of this Datanet is being published',
    'version_in_progress',
    'invalid_request_error',
  ],
  'version/nothing-new': [
    409,
    'There is nothing to publish',
    'nothing_to_publish',
    'invalid_request_error',
  ],
  'record/not-found': [404, 'There is no such record', 'record_not_found', 'invalid_request_error'],
  'blob/not-found': [404, 'There is no such blob', 'blob_not_found', 'invalid_request_error'],
  'blob/hash-mismatch': [
    422,
    'The bytes do not have the hash of their name',
    'hash_mismatch',
    'invalid_request_error',
  ],
  'model/not-found': [404, 'There is no such model', 'model_not_found', 'invalid_request_error'],
  'model/revoked': [410, 'The model was revoked', 'model_revoked', 'invalid_request_error'],
  'model/digest-mismatch': [
    502,
    'The bytes of the model do not match the chain',
    'digest_mismatch',
    'server_error',
  ],
  'model/unavailable': [
    503,
    'No worker can serve the model now',
    'model_unavailable',
    'server_error',
  ],
  'model/context-exceeded': [
    400,
    'The prompt is longer than the context of the model',
    'context_length_exceeded',
    'invalid_request_error',
  ],
  'model/slug-taken': [
    409,
    'The account has a model with this name',
    'slug_taken',
    'invalid_request_error',
  ],
  'funds/insufficient': [402, 'The balance is too low', 'insufficient_quota', 'insufficient_quota'],
  'inference/failed': [502, 'The worker failed to answer', 'inference_failed', 'server_error'],
  'inference/receipt-refused': [
    502,
    'The receipt of the worker was refused',
    'receipt_refused',
    'server_error',
  ],
  'retrieval/failed': [502, 'Records could not be retrieved', 'retrieval_failed', 'server_error'],
  'job/not-found': [
    404,
    'There is no such fine-tuning job',
    'job_not_found',
    'invalid_request_error',
  ],
  'job/ended': [409, 'The job has already ended', 'job_ended', 'invalid_request_error'],
  'worker/not-found': [404, 'There is no such worker', 'worker_not_found', 'invalid_request_error'],
  'worker/unknown-base': [
    409,
    'The chain does not know the base model',
    'unknown_base',
    'invalid_request_error',
  ],
  'job/result-refused': [
    422,
    'The result of the job was refused',
    'result_refused',
    'invalid_request_error',
  ],
  'lease/lost': [409, 'The lease has ended', 'lease_lost', 'invalid_request_error'],
  'proposal/not-found': [
    404,
    'There is no such proposal',
    'proposal_not_found',
    'invalid_request_error',
  ],
  'claim/not-found': [404, 'There is no such claim', 'claim_not_found', 'invalid_request_error'],
  'claim/refused': [422, 'The claim would fail on chain', 'claim_refused', 'invalid_request_error'],
  'claim/fee-too-low': [
    422,
    'The claim does not pay for being sent',
    'fee_too_low',
    'invalid_request_error',
  ],
  'claim/in-progress': [
    409,
    'Another claim with this nonce is on its way',
    'claim_in_progress',
    'invalid_request_error',
  ],
  'receipt/not-found': [
    404,
    'There is no such receipt',
    'receipt_not_found',
    'invalid_request_error',
  ],
  'receipt/no-texts': [
    410,
    'The texts of the receipt are not kept',
    'texts_not_kept',
    'invalid_request_error',
  ],
  'chain/unavailable': [503, 'The chain cannot be reached', 'chain_unavailable', 'server_error'],
  'ledger/unavailable': [503, 'The ledger cannot be reached', 'ledger_unavailable', 'server_error'],
  'server/settings': [
    500,
    'The settings of the server are not valid',
    'invalid_settings',
    'server_error',
  ],
  'server/error': [500, 'Something failed on our side', 'server_error', 'server_error'],
} as const satisfies Record<string, readonly [number, string, string, string]>

export type ProblemType = keyof typeof PROBLEMS
export type ProblemStatus = (typeof PROBLEMS)[ProblemType][0]

/** Whether text names a problem of the table. */
export const isProblemType = (text: string): text is ProblemType => Object.hasOwn(PROBLEMS, text)

/** One fault among several: `row` counts records from 1, `field` is a path inside the body or record. */
export type Fault = { row?: number; field?: string; detail: string }

export type ProblemDetails = {
  /** What a caller can do about it; a sentence. */
  detail?: string
  /** Name of the parameter at fault. */
  param?: string
  errors?: Fault[]
  /** Seconds for `Retry-After`. */
  retryAfter?: number
  headers?: Record<string, string>
  cause?: unknown
}

/** The one error of the HTTP boundary: RFC 9457 problem details with OpenAI's `error` member in the same body. */
export class Problem extends Error {
  readonly type: ProblemType
  readonly details: ProblemDetails

  constructor(type: ProblemType, details: ProblemDetails = {}) {
    super(details.detail ?? PROBLEMS[type][1], { cause: details.cause })
    this.name = 'Problem'
    this.type = type
    this.details = details
  }

  get status(): ProblemStatus {
    return PROBLEMS[this.type][0]
  }
}

/** OpenAI's `error` member of a problem; also what ends a stream that fails. */
export function errorMember({ type, message, details }: Problem) {
  const [, , code, kind] = PROBLEMS[type]
  return { message, type: kind, code, param: details.param ?? null }
}

/** The `application/problem+json` response of a problem. */
export function problemResponse(problem: Problem, request: { id: string; path: string }): Response {
  const [status, title] = PROBLEMS[problem.type]
  const { detail, errors, retryAfter, headers } = problem.details
  const body = {
    type: `urn:openledger:problem:${problem.type}`,
    title,
    status,
    ...(detail && { detail }),
    instance: request.path,
    requestId: request.id,
    ...(errors && { errors }),
    error: errorMember(problem),
  }
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...headers,
      'content-type': 'application/problem+json',
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    },
  })
}
