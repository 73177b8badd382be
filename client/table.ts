/** A table as aligned text: the first row is the header; columns whose cells are all numbers align right. */
export function textTable(rows: readonly (readonly string[])[], indent = '  '): string {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => [...(row[column] ?? '')].length)),
  )
  const numeric = widths.map((_, column) =>
    rows.slice(1).every((row) => /^[-+]?[\d.,]+( ?(%|OPEN|wei))?$/.test(row[column] ?? '')),
  )
  return rows
    .map((row) =>
      (
        indent + row.map((cell, i) => pad(cell, widths[i] ?? 0, numeric[i] === true)).join('  ')
      ).trimEnd(),
    )
    .join('\n')
}

function pad(cell: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - [...cell].length))
  return right ? space + cell : cell + space
}

/** Text that cannot move the cursor or colour the terminal: control characters but those in `keep` become spaces. */
export const printable = (text: string, keep = ''): string =>
  text.replace(/[\p{Cc}\p{Cf}]/gu, (control) => (keep.includes(control) ? control : ' '))
