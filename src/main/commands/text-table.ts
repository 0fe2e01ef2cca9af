/** Rows of text in columns, for a terminal. */

export interface TextColumn<T> {
  readonly title: string;
  readonly right?: boolean;
  readonly text: (item: T) => string;
}

/** Widths are those of the first rows; a later, wider text moves the rest of its line. */
const MEASURED_ROWS = 1000;

/** Lines, the titles first; nothing if there are no items. */
export async function* tableLines<T>(
  columns: readonly TextColumn<T>[],
  items: AsyncIterable<T> | Iterable<T>,
): AsyncGenerator<string> {
  const held: string[][] = [columns.map(({ title }) => title)];
  let widths: number[] | null = null;
  const line = (cells: readonly string[], to: readonly number[]): string =>
    cells
      .map((cell, c) => (columns[c]?.right ? cell.padStart(to[c] ?? 0) : cell.padEnd(to[c] ?? 0)))
      .join('  ')
      .trimEnd();
  const measured = (): number[] => columns.map((_, c) => Math.max(...held.map((cells) => cells[c]?.length ?? 0)));
  for await (const item of items) {
    const cells = columns.map(({ text }) => text(item));
    if (widths) yield line(cells, widths);
    else if (held.push(cells) > MEASURED_ROWS) {
      widths = measured();
      for (const early of held) yield line(early, widths);
    }
  }
  if (widths || held.length === 1) return;
  widths = measured();
  for (const cells of held) yield line(cells, widths);
}
