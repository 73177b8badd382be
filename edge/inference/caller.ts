/** A caller who takes nothing for so long has gone: whoever could stall an answer for ever would never pay for it. */
const STALLED_MS = 60_000

/**
 * Writes to a caller, one chunk after the other. It never throws: when the caller has gone away, or has stopped reading,
 * `gone` is aborted, and what is still sent goes nowhere.
 */
export function sendTo(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  gone: AbortController,
): (chunk: Uint8Array) => Promise<void> {
  const left = new Promise<void>((resolve) =>
    gone.signal.addEventListener('abort', () => resolve()),
  )
  return async (chunk) => {
    if (gone.signal.aborted) return
    const stalled = setTimeout(() => gone.abort(), STALLED_MS)
    await Promise.race([writer.write(chunk), left]).catch(() => gone.abort())
    clearTimeout(stalled)
  }
}
