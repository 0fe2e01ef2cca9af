/** Which chunk a row is read from: chunks of a later edit cover those below them. */

export interface Layer {
  readonly firstRow: number;
  readonly rows: number;
  readonly generation: number;
}

/** Rows `[from, to)` of a chunk that nothing covers. */
export interface Slice<C extends Layer = Layer> {
  readonly chunk: C;
  readonly from: number;
  readonly to: number;
}

/**
 * @param chunks of one series, in any order; no two of one generation overlap
 * @returns in order of rows, not overlapping; each row in the chunk of the highest generation that has it
 */
export function visibleSlices<C extends Layer>(chunks: readonly C[]): Slice<C>[] {
  const whole = chunks.map((chunk): Slice<C> => ({ chunk, from: chunk.firstRow, to: chunk.firstRow + chunk.rows }));
  whole.sort((a, b) => a.from - b.from);
  // Most series were never edited: nothing overlaps.
  if (whole.every((slice, i) => i === 0 || slice.from >= whole[i - 1].to)) return whole;
  const layers = new Map<number, Slice<C>[]>();
  for (const slice of whole) {
    const layer = layers.get(slice.chunk.generation);
    if (layer) layer.push(slice);
    else layers.set(slice.chunk.generation, [slice]);
  }
  return [...layers.keys()].sort((a, b) => a - b).reduce<Slice<C>[]>((below, g) => cover(below, layers.get(g)!), []);
}

/** Lays slices over others; both in order of rows. */
function cover<C extends Layer>(below: readonly Slice<C>[], above: readonly Slice<C>[]): Slice<C>[] {
  const seen: Slice<C>[] = [];
  let at = 0;
  for (const slice of below) {
    let { from } = slice;
    while (at < above.length && above[at].to <= from) at++;
    for (let i = at; i < above.length && above[i].from < slice.to; i++) {
      if (above[i].from > from) seen.push({ ...slice, from, to: above[i].from });
      from = Math.max(from, above[i].to);
    }
    if (from < slice.to) seen.push({ ...slice, from });
  }
  return [...seen, ...above].sort((a, b) => a.from - b.from);
}
