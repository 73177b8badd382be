/** What an error says, whatever was thrown: at most so many characters of it. */
export const messageOf = (error: unknown, most = Infinity): string =>
  (error instanceof Error ? error.message : String(error)).slice(0, most)
