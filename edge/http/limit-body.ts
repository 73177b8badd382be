import { bodyLimit } from 'hono/body-limit'
import { Problem } from '../problem.ts'

/** Most bytes of a POST: a contribution. Larger files come in parts. */
const MAX_BODY_BYTES = 5 * 1024 * 1024

/** Refuses larger bodies before they are read, and chunked ones as soon as they are too large. */
export const limitBody = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => {
    throw new Problem('request/too-large', {
      detail: `A body has at most ${MAX_BODY_BYTES} bytes; a larger file comes as several contributions, as openledger datanet push does it.`,
    })
  },
})
